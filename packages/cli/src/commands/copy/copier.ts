import { once } from 'node:events';
import { formatBytes, SkerryError } from '@skerry/api/base';
import type { Skerry, VM } from '@skerry/sdk';
import type { Context } from '../../terminal/index.ts';
import { type Entry, listLocal, localType, makeLocalDirectory, type Opened, openLocal, writeLocal } from './local.ts';
import { below, isSafeName, nameOfPlace, type Place, shown } from './places.ts';

type FilePlace = Exclude<Place, { kind: 'stream' }>;

export interface Copied {
  readonly from: string;
  readonly to: string;
  readonly bytes: number;
  readonly sha256?: string | undefined;
}

const PROGRESS_MS = 200;

/** Copies between here and VMs, and from one VM to another. Every file arrives whole and checked, or not at all. */
export class Copier {
  readonly copied: Copied[] = [];
  readonly #context: Context;
  readonly #client: Skerry;
  readonly #handles = new Map<string, Promise<VM>>();

  constructor(context: Context, client: Skerry) {
    this.#context = context;
    this.#client = client;
  }

  /** Into a directory (one that is there, or ends with /), else to that name. */
  async copy(source: Place, target: Place, recursive: boolean): Promise<void> {
    const type = source.kind === 'stream' ? 'file' : await this.#typeOf(source);
    if (type === undefined)
      throw new SkerryError('not-found', `There is no ${shown(source)}`, { remedy: 'Check the path.' });
    if (type === 'directory' && !recursive) {
      throw new SkerryError('invalid', `${shown(source)} is a directory`, {
        remedy: 'Copy it with all that is in it: -r.',
      });
    }
    if (type === 'directory' && target.kind === 'stream') {
      throw new SkerryError('invalid', "A directory can't be written to standard output", {
        remedy: 'Use tar: skerry exec VM -- tar c DIRECTORY.',
      });
    }
    const to = await this.#destination(source, target);
    if (type === 'directory' && source.kind !== 'stream' && to.kind !== 'stream') await this.#tree(source, to);
    else await this.#file(source, to);
  }

  async #destination(source: Place, target: Place): Promise<Place> {
    if (target.kind === 'stream') return target;
    const type = await this.#typeOf(target);
    if (type !== 'directory' && !target.path.endsWith('/')) return target;
    if (type !== 'directory') {
      throw new SkerryError('not-found', `There is no directory ${shown(target)}`, {
        remedy: 'Make it first, or leave out the / at the end.',
      });
    }
    if (source.kind === 'stream') {
      throw new SkerryError('invalid', 'Standard input has no name', {
        remedy: `Write the file's name, too: ${shown(below(target, 'FILE'))}.`,
      });
    }
    return below(target, nameOfPlace(source));
  }

  async #tree(source: FilePlace, target: FilePlace): Promise<void> {
    await this.#makeDirectory(target);
    for (const { name, type } of await this.#list(source)) {
      this.#context.signal.throwIfAborted();
      const from = below(source, name);
      if (!isSafeName(name)) {
        throw new SkerryError('refused', `The VM names a file '${name}', which leads out of its directory`, {
          remedy: 'Do not trust this VM.',
        });
      }
      if (type === 'directory') await this.#tree(from, below(target, name));
      else if (type === 'file') await this.#file(from, below(target, name));
      // A link of a guest could lead what is written next anywhere here.
      else this.#context.out.note(`left out: ${shown(from)} (${type === 'symlink' ? 'a link' : 'no file'})`);
    }
  }

  async #file(source: Place, target: Place): Promise<void> {
    const { source: bytes, sizeBytes, mode } = await this.#open(source);
    let total = 0;
    const counted = this.#counted(
      bytes as AsyncIterable<Buffer>,
      shown(source),
      sizeBytes,
      (count) => (total += count),
    );
    const sha256 = await this.#write(target, counted, mode);
    this.#context.progress.end(shown(source));
    this.copied.push({ from: shown(source), to: shown(target), bytes: total, sha256 });
  }

  async #open(place: Place): Promise<Opened> {
    if (place.kind === 'stream') return { source: process.stdin, sizeBytes: undefined, mode: undefined };
    if (place.kind === 'local') return await openLocal(place.path);
    const { files } = await this.#vm(place.vm);
    const { sizeBytes, mode } = await files.stat(place.path);
    return { source: await files.open(place.path, { signal: this.#context.signal }), sizeBytes, mode: mode & 0o7777 };
  }

  /** @returns the SHA-256 of what arrived, where it was stored */
  async #write(place: Place, bytes: AsyncIterable<Buffer>, mode: number | undefined): Promise<string | undefined> {
    if (place.kind === 'guest') {
      const { files } = await this.#vm(place.vm);
      return (await files.write(place.path, bytes, { mode, signal: this.#context.signal })).sha256;
    }
    if (place.kind === 'local') return await writeLocal(place.path, bytes, mode);
    for await (const chunk of bytes) {
      if (!process.stdout.write(chunk)) await once(process.stdout, 'drain');
    }
    return undefined;
  }

  async *#counted(
    source: AsyncIterable<Buffer>,
    label: string,
    sizeBytes: number | undefined,
    add: (count: number) => number,
  ): AsyncGenerator<Buffer, void, undefined> {
    let shownAt = performance.now();
    for await (const chunk of source) {
      const total = add(chunk.length);
      if (process.stderr.isTTY && performance.now() - shownAt > PROGRESS_MS) {
        shownAt = performance.now();
        this.#context.progress.update(
          label,
          formatBytes(total),
          sizeBytes ? Math.min(1, total / sizeBytes) : undefined,
        );
      }
      yield chunk;
    }
  }

  async #typeOf(place: FilePlace): Promise<Entry['type'] | undefined> {
    if (place.kind === 'local') return await localType(place.path);
    try {
      return (await (await this.#vm(place.vm)).files.stat(place.path)).type;
    } catch (error) {
      const known = SkerryError.from(error);
      if (known.code === 'not-found') return undefined;
      throw known;
    }
  }

  async #list(place: FilePlace): Promise<Entry[]> {
    return place.kind === 'local'
      ? await listLocal(place.path)
      : await (await this.#vm(place.vm)).files.list(place.path);
  }

  async #makeDirectory(place: FilePlace): Promise<void> {
    if (place.kind === 'local') {
      await makeLocalDirectory(place.path);
      return;
    }
    const { exitCode, stderr } = await (await this.#vm(place.vm)).exec(['mkdir', '-p', '--', place.path]);
    if (exitCode === 0) return;
    throw new SkerryError('failed', `${shown(place)} could not be made: ${stderr.trim()}`, {
      remedy: 'Choose another place.',
    });
  }

  #vm(ref: string): Promise<VM> {
    const handle = this.#handles.get(ref) ?? this.#client.vm(ref);
    this.#handles.set(ref, handle);
    return handle;
  }
}
