import { execFile } from 'node:child_process';
import { dirname, join } from 'node:path';
import { lineAt, type Finding, type Source } from './finding.ts';

/** Checks by tools of others. A tool that fails without naming a file is a finding too: none passes by breaking. */

interface ToolResult {
  readonly output: string;
  readonly exitCode: number;
}

function runTool(root: string, command: string, args: readonly string[]): Promise<ToolResult> {
  // npm's tools start `node` by name: it is to be the one that we run on.
  const env = { ...process.env, PATH: `${dirname(process.execPath)}:${process.env['PATH'] ?? ''}`, NO_COLOR: '1' };
  return new Promise((resolve) => {
    execFile(command, args, { cwd: root, env, maxBuffer: 64 * 1024 * 1024 }, (error, stdout, stderr) => {
      const exitCode = error === null ? 0 : typeof error.code === 'number' ? error.code : 127;
      resolve({ output: `${stdout}${stderr}${exitCode === 127 ? error?.message : ''}`, exitCode });
    });
  });
}

const bin = (root: string, name: string): string => join(root, 'node_modules/.bin', name);

function findingsIn(tool: string, result: ToolResult, pattern: RegExp): Finding[] {
  if (result.exitCode === 0) return [];
  const findings = [...result.output.matchAll(pattern)].map(({ groups }) => ({
    file: groups?.['file'] ?? '',
    ...(groups?.['line'] === undefined ? {} : { line: Number(groups['line']) }),
    message: (groups?.['message'] ?? '').slice(0, 300),
  }));
  if (findings.length > 0) return findings;
  return [{ file: tool, message: `exit code ${result.exitCode}: ${result.output.trim().slice(-600)}` }];
}

/** tsc: the whole repository, or a project file of it. */
export async function checkTypes(root: string, project = '.'): Promise<Finding[]> {
  const result = await runTool(root, bin(root, 'tsc'), ['-p', project, '--noEmit', '--pretty', 'false']);
  return findingsIn('tsc', result, /^(?<file>[^\s(][^(\n]*)\((?<line>\d+),\d+\): (?<message>error .*)$/gm);
}

/** oxlint with the rules that need types (by tsgolint). */
export async function checkLint(root: string): Promise<Finding[]> {
  const result = await runTool(root, bin(root, 'oxlint'), ['--type-aware', '--deny-warnings', '-f', 'unix', '.']);
  return findingsIn('oxlint', result, /^(?<file>[^\s:]+):(?<line>\d+):\d+: (?<message>.*)$/gm);
}

/** oxfmt: `npm run format` mends what this finds. */
export async function checkFormat(root: string): Promise<Finding[]> {
  const result = await runTool(root, bin(root, 'oxfmt'), ['--list-different', '.']);
  return findingsIn('oxfmt', result, /^(?<file>[^\s:]+\.\w+)$/gm).map((finding) => ({
    ...finding,
    message: finding.message === '' ? 'is not formatted: npm run format' : finding.message,
  }));
}

/** `sh -n` on every shell script: what has the extension, or says so in its first line. */
export async function checkShell(root: string, sources: readonly Source[]): Promise<Finding[]> {
  const scripts = sources.filter(({ path, text }) => path.endsWith('.sh') || /^#! ?\/bin\/sh\b/.test(text));
  const findings: Finding[] = [];
  for (const { path, text } of scripts) {
    const result = await runTool(root, 'sh', ['-n', path]);
    findings.push(...findingsIn(path, result, /^(?<file>[^\n]*?): (?:line )?(?<line>\d+): (?<message>.*)$/gm));
    const bashism = /^(?:[^#\n]*(?:\[\[ |<<<)|[ \t]*(?:function|source) \S)/m.exec(text);
    if (bashism !== null) {
      findings.push({ file: path, line: lineAt(text, bashism.index), message: 'is bash, not POSIX sh' });
    }
  }
  return findings;
}
