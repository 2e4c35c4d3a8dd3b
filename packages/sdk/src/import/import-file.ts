import { statSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { basename, dirname, isAbsolute, join, relative, resolve } from 'node:path';
import { NodeFile, SkerryError } from '@skerry/api';
import { YamlSource } from '../node-file/source.ts';
import { fromCompose } from './compose.ts';
import { fromContainerlab } from './containerlab.ts';
import { type Draft, type ImportFacts, labelOf } from './draft.ts';
import { Entry } from './entry.ts';
import { type Finding, Findings } from './findings.ts';
import { parseVariables, withVariables } from './variables.ts';

/** Files of other programs, as node files. */

export interface ImportOptions {
  /** Of the node; default: as the file says, else as its directory is called. */
  readonly name?: string | undefined;
  /** Where the node file is to be: its paths are written relative to that. Default: the working directory. */
  readonly to?: string | undefined;
}

export interface ImportedNode {
  readonly format: 'compose' | 'containerlab';
  readonly name: string;
  readonly file: NodeFile;
  /** The same as YAML. */
  readonly text: string;
  /** What it does not say, or in another way, in the order of the imported file. */
  readonly findings: readonly Finding[];
}

/**
 * Translates a compose file or a containerlab topology. Nothing of it is left out without a finding.
 * @param path `-` is standard input
 * @throws SkerryError `not-found`, `invalid` (syntax, neither of the two formats, no VM in it)
 */
export async function importNodeFile(path: string, options: ImportOptions = {}): Promise<ImportedNode> {
  const [source, ...others] = await YamlSource.readAll(path, { merge: true });
  if (source === undefined || others.length > 0) {
    throw new SkerryError(
      'invalid',
      `${path} is to hold one document, not ${others.length === 0 ? 'none' : others.length + 1}`,
      {
        remedy: 'Import one compose file or one containerlab topology.',
      },
    );
  }
  const findings = new Findings((at) => source.placeOf(at));
  for (const { line, column, message } of source.warnings) findings.addAt('lost', { line, column }, message);
  const raw = new Entry([], source.value, findings);
  const format = formatOf(raw, path);
  const root = new Entry([], withVariables(raw, await variablesBeside(path)), findings);
  const facts = factsOf(path, options.to);
  const draft: Draft = format === 'compose' ? fromCompose(root, facts) : fromContainerlab(root, facts);
  if (draft.vms.size === 0) {
    throw new SkerryError('invalid', `${path} declares nothing that could be a VM`, {
      remedy: 'A compose file has `services`, a containerlab topology `topology: { nodes: ... }`.',
    });
  }
  const name = options.name ?? nameOf(root.entry('name'), path);
  const origin = path === '-' ? 'standard input' : basename(path);
  const file = NodeFile.safeParse(draft.file(name));
  // What it writes is right, whatever it read.
  if (!file.success) throw new SkerryError('internal', `The import is no node file: ${file.error.message}`);
  return { format, name, file: file.data, text: draft.text(name, origin), findings: findings.all };
}

function formatOf(root: Entry, path: string): ImportedNode['format'] {
  if (root.entry('topology')?.isMapping === true) return 'containerlab';
  if (root.entry('services')?.isMapping === true) return 'compose';
  throw new SkerryError('invalid', `${path} is neither a compose file nor a containerlab topology`, {
    remedy: 'A compose file has `services:` at its top, a containerlab topology `topology:`.',
  });
}

/** As compose reads them: what the caller's environment has is no part of the file, and stays out. */
async function variablesBeside(path: string): Promise<Map<string, string>> {
  const text = await readFile(join(dirname(path === '-' ? './-' : path), '.env'), 'utf8').catch(() => '');
  return parseVariables(text);
}

function nameOf(entry: Entry | undefined, path: string): string {
  const said = entry === undefined || entry.isEmpty ? undefined : entry.text();
  const text = said ?? basename(resolve(dirname(path === '-' ? './-' : path)));
  const name = labelOf(text);
  if (said !== undefined && name !== said) entry?.changed(`the node is called ${name}: names are DNS labels here`);
  return name;
}

function factsOf(path: string, to: string | undefined): ImportFacts {
  const from = dirname(resolve(path === '-' ? './-' : path));
  const into = dirname(resolve(to === undefined || to === '-' ? './-' : to));
  const absolute = (written: string) => resolve(from, written.replace(/^~(?=\/|$)/, homedir()));
  return {
    // One question per bind, of a command that does nothing else.
    kindOf: (written) => {
      const info = statSync(absolute(written), { throwIfNoEntry: false });
      if (info === undefined) return undefined;
      return info.isFile() ? 'file' : info.isDirectory() ? 'directory' : 'other';
    },
    moved: (written) => {
      if (isAbsolute(written) || written.startsWith('~')) return absolute(written);
      const moved = relative(into, absolute(written));
      return moved.startsWith('.') ? moved : `./${moved}`;
    },
  };
}
