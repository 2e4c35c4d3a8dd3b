import type { Path } from '../node-file/source.ts';
import type { Findings } from './findings.ts';

/** Pure: a value of an imported file, with its place in it. */
export class Entry {
  readonly path: Path;
  readonly value: unknown;
  readonly #findings: Findings;

  constructor(path: Path, value: unknown, findings: Findings) {
    this.path = path;
    this.value = value;
    this.#findings = findings;
  }

  get key(): string {
    return String(this.path.at(-1) ?? '');
  }

  /** Whether nothing stands behind the key. */
  get isEmpty(): boolean {
    if (this.value === null || this.value === undefined || this.value === '') return true;
    return typeof this.value === 'object' && Object.keys(this.value).length === 0;
  }

  get isMapping(): boolean {
    return typeof this.value === 'object' && this.value !== null && !Array.isArray(this.value);
  }

  get isList(): boolean {
    return Array.isArray(this.value);
  }

  lost(message: string, remedy?: string): void {
    this.#findings.add('lost', this.path, message, remedy);
  }

  changed(message: string, remedy?: string): void {
    this.#findings.add('changed', this.path, message, remedy);
  }

  unneeded(message: string): void {
    this.#findings.add('unneeded', this.path, message);
  }

  child(key: string | number, value: unknown): Entry {
    return new Entry([...this.path, key], value, this.#findings);
  }

  /** Of a mapping; of anything else, none, after saying so. */
  entries(): Entry[] {
    if (this.isMapping) return Object.entries(this.value as object).map(([key, value]) => this.child(key, value));
    if (!this.isEmpty) this.lost('keys and values were expected here');
    return [];
  }

  entry(key: string): Entry | undefined {
    if (!this.isMapping || !Object.hasOwn(this.value as object, key)) return undefined;
    return this.child(key, (this.value as Readonly<Record<string, unknown>>)[key]);
  }

  /** Of a list; a single value is a list of one, as both formats have it in places. */
  items(): Entry[] {
    if (Array.isArray(this.value)) return this.value.map((value, index) => this.child(index, value));
    if (this.isMapping) this.lost('a list was expected here');
    return this.isEmpty || this.isMapping ? [] : [this];
  }

  /** Of a text, number or boolean; else undefined, after saying so. */
  text(): string | undefined {
    if (typeof this.value === 'string' && this.value.includes('\0')) {
      this.lost('there is a NUL byte in it, which can not be passed');
      return undefined;
    }
    if (['string', 'number', 'boolean'].includes(typeof this.value)) return String(this.value);
    this.lost(this.isEmpty ? 'there is no value' : 'a single value was expected here');
    return undefined;
  }

  /** Of true and false, which are texts where a variable stood; else undefined, after saying so. */
  flag(): boolean | undefined {
    const text = this.text();
    if (text === 'true' || text === 'false') return text === 'true';
    if (text !== undefined) this.lost(`'${text}' is neither true nor false`);
    return undefined;
  }

  /** `[A=1]` and `{A: 1}` alike. */
  pairs(): Pair[] {
    const read = this.isMapping ? mappedPair : listedPair;
    return (this.isMapping ? this.entries() : this.items()).flatMap((entry) => read(entry) ?? []);
  }
}

export interface Pair {
  readonly name: string;
  /** Undefined where there is a name only. */
  readonly text: string | undefined;
  readonly entry: Entry;
}

function mappedPair(entry: Entry): Pair | undefined {
  if (entry.value === null || entry.value === '') return { name: entry.key, text: entry.value ?? undefined, entry };
  const text = entry.text();
  return text === undefined ? undefined : { name: entry.key, text, entry };
}

function listedPair(entry: Entry): Pair | undefined {
  const text = entry.text();
  if (text === undefined) return undefined;
  const equals = text.indexOf('=');
  if (equals === -1) return { name: text, text: undefined, entry };
  return { name: text.slice(0, equals), text: text.slice(equals + 1), entry };
}

/** Why a key has no counterpart. */
export interface Lack {
  readonly kind: 'lost' | 'unneeded';
  readonly message: string;
  readonly remedy?: string | undefined;
}

export function lost(message: string, remedy?: string): Lack {
  return { kind: 'lost', message, remedy };
}

export function unneeded(message: string): Lack {
  return { kind: 'unneeded', message };
}

export type Rule<C> = Lack | ((entry: Entry, context: C) => void);
export type Table<C> = ReadonlyMap<string, Rule<C>>;

export function tableOf<C>(rules: Readonly<Record<string, Rule<C>>>): Table<C> {
  return new Map(Object.entries(rules));
}

/** The rule for a value that is kept as its text. */
export function textInto<K extends string>(key: K): (entry: Entry, into: { [P in K]?: string }) => void {
  return (entry, into) => {
    const text = entry.text();
    if (text !== undefined) into[key] = text;
  };
}

/** Each key is translated or listed: there is no third way. */
export function translate<C>(mapping: Entry, table: Table<C>, context: C): void {
  for (const entry of mapping.entries()) translateKey(entry, table, context);
}

export function translateKey<C>(entry: Entry, table: Table<C>, context: C): void {
  const rule = table.get(entry.key);
  if (rule === undefined) {
    if (entry.key.startsWith('x-')) entry.unneeded('an extension, which means nothing by itself');
    else entry.lost('this is not known here');
  } else if (typeof rule !== 'function') {
    if (rule.kind === 'lost') entry.lost(rule.message, rule.remedy);
    else entry.unneeded(rule.message);
  } else if (entry.isEmpty) {
    entry.unneeded('it is empty');
  } else {
    rule(entry, context);
  }
}
