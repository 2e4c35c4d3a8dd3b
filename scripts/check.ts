import { resolve } from 'node:path';
import type { Finding } from './check/finding.ts';
import { checkLength, checkLinks, checkNames, checkTexts } from './check/house.ts';
import { checkImports } from './check/imports.ts';
import { readSources } from './check/sources.ts';
import { checkFormat, checkLint, checkShell, checkTypes } from './check/tools.ts';

/** `npm run check [-- DIRECTORY]`: every rule that a machine can look after, in one table. Exit code 1 if any is broken. */

const MAX_SHOWN = 20;

const root = resolve(process.argv[2] ?? '.');
const sources = await readSources(root);

const checks: ReadonlyArray<[name: string, run: () => Promise<Finding[]> | Finding[]]> = [
  ['types (tsc)', () => checkTypes(root)],
  ['the client, for Node 20 (tsc)', () => checkTypes(root, 'tsconfig.client.json')],
  ['lint (oxlint, type-aware)', () => checkLint(root)],
  ['format (oxfmt)', () => checkFormat(root)],
  ['shell scripts (sh -n)', () => checkShell(root, sources)],
  ['import rules', () => checkImports(sources)],
  ['file length', () => checkLength(sources)],
  ['forbidden forms', () => checkTexts(sources)],
  ['names of files', () => checkNames(sources)],
  ['links in documents', () => checkLinks(sources)],
];

let broken = 0;
const rows: string[] = [];
// One after the other: the tools use every core by themselves.
for (const [name, run] of checks) {
  const beganMs = performance.now();
  const findings = await run();
  const seconds = ((performance.now() - beganMs) / 1000).toFixed(1);
  rows.push(
    `${findings.length === 0 ? 'ok  ' : 'FAIL'}  ${name.padEnd(30)} ${seconds.padStart(6)} s  ${findings.length || ''}`,
  );
  if (findings.length === 0) continue;
  broken += 1;
  console.log(`\n${name}:`);
  for (const { file, line, message } of findings.slice(0, MAX_SHOWN)) {
    console.log(`  ${file}${line === undefined ? '' : `:${line}`}: ${message}`);
  }
  if (findings.length > MAX_SHOWN) console.log(`  ... and ${findings.length - MAX_SHOWN} more`);
}

console.log(`\n${rows.join('\n')}\n${sources.length} files, ${checks.length} checks, ${broken} broken`);
process.exitCode = broken === 0 ? 0 : 1;
