import { readFile, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { SkerryError } from '@skerry/api/base';
import type { Document, LineCounter } from 'yaml';

/** A YAML file that knows where in it each value stands. */

const MAX_FILE_BYTES = 4 * 1024 * 1024;
export const MAX_SOURCE_BYTES = 1024 * 1024;

export type Path = ReadonlyArray<string | number>;

/** Told the absolute path of each file before it is read. */
export type OnRead = (path: string) => void;

export interface Problem {
  readonly line: number;
  readonly column: number;
  readonly message: string;
  readonly remedy: string;
  /** FILE:LINE:COL: what */
  readonly text: string;
}

export class YamlSource {
  /** As the caller wrote it. */
  readonly path: string;
  readonly problems: Problem[] = [];
  readonly value: unknown;
  readonly #document: Document;
  readonly #lines: LineCounter;
  readonly #yaml: typeof import('yaml');
  readonly onRead: OnRead | undefined;

  private constructor(
    path: string,
    document: Document,
    lines: LineCounter,
    yaml: typeof import('yaml'),
    onRead: OnRead | undefined,
  ) {
    this.path = path;
    this.onRead = onRead;
    this.#yaml = yaml;
    this.#lines = lines;
    this.#document = document;
    for (const error of this.#document.errors) this.#add(error.pos[0], error.message, remedyOf(error.code));
    if (this.problems.length > 0) return;
    try {
      // Its limit of 100 aliases stands: a file of a kilobyte could otherwise grow to gigabytes.
      this.value = this.#document.toJS();
    } catch (error) {
      this.#add(0, (error as Error).message, 'Write the values out instead of using aliases.');
    }
  }

  /** @throws SkerryError `not-found`, `invalid` (syntax) */
  static async read(path: string, onRead?: OnRead): Promise<YamlSource> {
    onRead?.(resolve(path));
    const text = (await readLimited(path, path, MAX_FILE_BYTES)).toString('utf8');
    const yaml = await import('yaml');
    const lines = new yaml.LineCounter();
    const document = yaml.parseDocument(text, { lineCounter: lines, prettyErrors: false });
    const source = new YamlSource(path, document, lines, yaml, onRead);
    source.throwIfWrong();
    return source;
  }

  /**
   * The documents of a file, which `---` separates; places are told as in the whole file. Empty ones are left out.
   * @param path `-` is standard input; what its documents name is beside the working directory
   * @param merge whether `<<` takes over the keys of another mapping (YAML 1.1), as some programs have it
   * @throws SkerryError `not-found`, `invalid` (syntax)
   */
  static async readAll(path: string, { merge = false }: { readonly merge?: boolean } = {}): Promise<YamlSource[]> {
    const text = path === '-' ? await readStandardInput() : (await readLimited(path, path, MAX_FILE_BYTES)).toString();
    const yaml = await import('yaml');
    const lines = new yaml.LineCounter();
    const documents = yaml.parseAllDocuments(text, { lineCounter: lines, prettyErrors: false, merge });
    const shown = path === '-' ? 'standard input' : path;
    const sources = [...documents].map(
      (document) => new YamlSource(shown, document as Document, lines, yaml, undefined),
    );
    for (const source of sources) source.throwIfWrong();
    return sources.filter(({ value }) => value !== null && value !== undefined);
  }

  /** Where the key at a path stands, or the nearest thing around it that is there. */
  placeOf(path: Path): { readonly line: number; readonly column: number } {
    return this.#linePos(this.#offsetOf(path, typeof path.at(-1) === 'number' ? 'value' : 'key'));
  }

  /** What is meant otherwise than YAML reads it, such as tags that it does not know. */
  get warnings(): Array<{ readonly line: number; readonly column: number; readonly message: string }> {
    return this.#document.warnings.map(({ pos, message }) => ({ ...this.#linePos(pos[0]), message }));
  }

  /** A problem with the value at a path, or with the nearest thing around it that is there. */
  add(path: Path, message: string, remedy: string, at: 'value' | 'key' = 'value'): void {
    this.#add(this.#offsetOf(path, at), message, remedy);
  }

  /** @throws SkerryError `invalid` with the first problem; all are in `details.problems` */
  throwIfWrong(): void {
    const problems = this.problems.toSorted((a, b) => a.line - b.line || a.column - b.column);
    const [first] = problems;
    if (first === undefined) return;
    throw new SkerryError('invalid', first.text, { remedy: first.remedy, details: { file: this.path, problems } });
  }

  /** The bytes of a file that is named at a path of this one, in base64; undefined after noting the problem. */
  async readBeside(name: string, path: Path): Promise<string | undefined> {
    this.onRead?.(this.besides(name));
    try {
      return (await readLimited(this.besides(name), name, MAX_SOURCE_BYTES)).toString('base64');
    } catch (error) {
      const known = SkerryError.from(error);
      this.add(path, known.message, known.remedy ?? '');
      return undefined;
    }
  }

  /** The path of a file that is named in this one. */
  besides(name: string): string {
    return resolve(dirname(this.path), name);
  }

  #linePos(offset: number): { readonly line: number; readonly column: number } {
    const { line, col } = this.#lines.linePos(offset);
    // An empty file has no lines at all.
    return { line: Math.max(1, line), column: Math.max(1, col) };
  }

  #add(offset: number, message: string, remedy: string): void {
    const at = this.#linePos(offset);
    this.problems.push({ ...at, message, remedy, text: `${this.path}:${at.line}:${at.column}: ${message}` });
  }

  #offsetOf(path: Path, at: 'value' | 'key'): number {
    const { isMap, isNode, isScalar } = this.#yaml;
    for (let length = path.length; length >= 0; length--) {
      const parent = length === 0 ? undefined : this.#document.getIn(path.slice(0, length - 1), true);
      const node = this.#document.getIn(path.slice(0, length), true);
      if (length < path.length || at === 'key') {
        // The key says more than the value's beginning, which is on the next line.
        const pair = isMap(parent)
          ? parent.items.find(({ key }) => (isScalar(key) ? key.value : key) === path[length - 1])
          : undefined;
        if (isNode(pair?.key) && pair.key.range) return pair.key.range[0];
      }
      if (isNode(node) && node.range) return node.range[0];
    }
    return 0;
  }
}

async function readStandardInput(): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of process.stdin as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > MAX_FILE_BYTES) {
      throw new SkerryError('invalid', `Standard input has more than the ${MAX_FILE_BYTES} bytes it may have`, {
        remedy: 'Apply it in parts.',
      });
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

async function readLimited(path: string, shown: string, maxBytes: number): Promise<Buffer> {
  try {
    const info = await stat(path);
    if (!info.isFile()) {
      throw new SkerryError('invalid', `${shown} is no file`, { remedy: 'Name a file.' });
    }
    if (info.size > maxBytes) {
      throw new SkerryError('invalid', `${shown} has ${info.size} bytes, more than the ${maxBytes} it may have`, {
        remedy: 'Copy it with `skerry cp` instead, or put it into an image.',
      });
    }
    return await readFile(path);
  } catch (error) {
    if (error instanceof SkerryError) throw error;
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    if (code === 'ENOENT' || code === 'ENOTDIR') {
      throw new SkerryError('not-found', `There is no file ${shown}`, { remedy: 'Check the path.', cause: error });
    }
    throw new SkerryError('refused', `${shown} can't be read: ${(error as Error).message}`, {
      remedy: 'Check its rights.',
      cause: error,
    });
  }
}

function remedyOf(code: string): string {
  if (code === 'TAB_AS_INDENT') return 'Indent with spaces: YAML knows no tabs there.';
  if (code === 'DUPLICATE_KEY') return 'Keep one of them.';
  if (code === 'BAD_INDENT') return 'Put keys that belong together at the same column.';
  return 'See https://yaml.org for what YAML is, or put a text with special characters in quotes.';
}
