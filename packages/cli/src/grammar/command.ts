import { parseDurationMs, parseMemoryMib, SkerryError } from '@skerry/api/base';
import type { Context } from '../terminal/index.ts';

/** A command as data: parsing, help, suggestions and the reference are made from it. */

/** What the shell can complete a value with: names that the daemon knows, `VM:` or a file (`place`), files. */
export type NameKind =
  | 'vm'
  | 'node'
  | 'image'
  | 'network'
  | 'template'
  | 'task'
  | 'secret'
  | 'fault'
  | 'place'
  | 'file';

export interface Option {
  /** Without the dashes. */
  readonly name: string;
  /** Other spellings of the same parameter. */
  readonly aliases?: readonly string[];
  /** One letter. */
  readonly short?: string;
  /** What stands for its value in the help; absent: a flag, which `--no-NAME` takes back. */
  readonly value?: string;
  readonly choices?: readonly string[];
  /** Where its name does not say so (`completion/candidates.ts`). */
  readonly completes?: NameKind;
  /** May be given several times. */
  readonly many?: boolean;
  readonly summary: string;
}

/** A word at its place; the same parameter can be given as `--name`. */
export interface Positional extends Option {
  /** How the help shows it: NAME. */
  readonly value: string;
  readonly optional?: boolean;
}

export interface Command {
  /** A noun; empty for what belongs to none. `vm` may be left out. */
  readonly group: string;
  readonly verb: string;
  /** Other verbs of the same meaning, in its group. */
  readonly aliases?: readonly string[];
  /** It may be called without its group, as this. */
  readonly top?: string;
  readonly positionals?: readonly Positional[];
  readonly options?: readonly Option[];
  /** What follows `--`, or the last positional: a command for the guest. */
  readonly passthrough?: { readonly required: boolean; readonly summary: string };
  readonly summary: string;
  /** More than the summary, for its own help. */
  readonly description?: string;
  readonly examples: readonly [string, ...string[]];
  /** @returns the exit code; nothing is 0 */
  run(context: Context, args: Args): Promise<number | void>;
}

/** The commands that take several VMs and the like. */
export function isMany(option: Option): boolean {
  return option.many === true;
}

/** What was given, by parameter. */
export class Args {
  readonly #values: ReadonlyMap<string, readonly string[]>;
  /** What followed `--`. */
  readonly rest: readonly string[];

  constructor(values: ReadonlyMap<string, readonly string[]>, rest: readonly string[] = []) {
    this.#values = values;
    this.rest = rest;
  }

  texts(name: string): readonly string[] {
    return this.#values.get(name) ?? [];
  }

  text(name: string): string | undefined {
    return this.#values.get(name)?.[0];
  }

  /** Of a positional that the parser has made sure of. */
  required(name: string): string {
    const text = this.text(name);
    if (text === undefined) throw new TypeError(`no value for ${name}`);
    return text;
  }

  flag(name: string): boolean {
    return this.text(name) === 'true';
  }

  int(name: string): number | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    if (/^\d+$/.test(text)) return Number(text);
    throw new SkerryError('invalid', `--${name}: '${text}' is not a whole number`, { remedy: 'Write digits only.' });
  }

  sizeMib(name: string): number | undefined {
    const text = this.text(name);
    return text === undefined ? undefined : named(name, () => parseMemoryMib(text));
  }

  durationMs(name: string): number | undefined {
    const text = this.text(name);
    return text === undefined ? undefined : named(name, () => parseDurationMs(text));
  }
}

function named(name: string, parse: () => number): number {
  try {
    return parse();
  } catch (error) {
    if (!(error instanceof SkerryError)) throw error;
    throw new SkerryError(error.code, `--${name}: ${error.message}`, { remedy: error.remedy });
  }
}
