import { readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { SkerryError, Template } from '@skerry/api';
import { inspectJail, keptBytes } from '../hypervisors/index.ts';
import { removeTemplate, type TemplateDirs, type TemplateRecord } from './build.ts';
import { planEviction, type EvictionLimits } from './plan.ts';

/** The templates that are there, or are being built: found again, measured, and let go of. */

export interface Entry {
  template: Template;
  readonly dirs: TemplateDirs;
  /** As long as it is being built. */
  readonly building?: Promise<unknown> | undefined;
}

export interface ShelfPlaces {
  /** Templates do not outlive a reboot: they are kept beside the sockets. */
  readonly runtimeDir: string;
  /** For the layers that their guests have written: where VMs' disks are, which have links to them. */
  readonly dataDir: string;
}

export class Shelf {
  readonly #places: ShelfPlaces;
  readonly #entries = new Map<string, Entry>();

  constructor(places: ShelfPlaces) {
    this.#places = places;
  }

  dirs(id: string): TemplateDirs {
    const name = id.slice(0, 12);
    return { dir: join(this.#places.runtimeDir, 't', name), diskDir: join(this.#places.dataDir, 'templates', name) };
  }

  all(): Entry[] {
    return [...this.#entries.values()];
  }

  get(id: string): Entry | undefined {
    return this.#entries.get(id);
  }

  put(id: string, entry: Entry): void {
    this.#entries.set(id, entry);
  }

  forget(id: string): void {
    this.#entries.delete(id);
  }

  /** @param ref an id, or its beginning @throws SkerryError `not-found` */
  find(ref: string): Entry {
    const found = this.all().filter(({ template }) => template.id.startsWith(ref));
    if (found.length === 1 && found[0] !== undefined && ref.length >= 4) return found[0];
    throw new SkerryError('not-found', `There is no template '${ref}'`, { remedy: 'See `skerry template list`.' });
  }

  /** One more is cloned from it. */
  used(id: string): Entry {
    const entry = this.#entries.get(id);
    if (entry === undefined) throw new SkerryError('failed', 'The template was deleted meanwhile');
    entry.template = { ...entry.template, clones: entry.template.clones + 1, usedAt: new Date().toISOString() };
    return entry;
  }

  async list(): Promise<Template[]> {
    return Promise.all(this.all().map((entry) => this.measured(entry)));
  }

  /** What it takes is asked of its keeper: clones that use much memory fill what the template had no pages for. */
  async measured(entry: Entry): Promise<Template> {
    if (entry.template.state !== 'building') {
      const { memory } = await keptBytes(keeperPath(entry.dirs));
      if (memory !== undefined) entry.template = { ...entry.template, memoryBytes: memory };
    }
    return entry.template;
  }

  async remove(id: string): Promise<void> {
    const entry = this.#entries.get(id);
    this.#entries.delete(id);
    if (entry !== undefined) await removeTemplate(entry.dirs);
  }

  async evict(limits: EvictionLimits): Promise<{ deleted: string[]; freedBytes: number }> {
    const evictable = (await this.list()).map((each) => ({ ...each, usedAtMs: Date.parse(each.usedAt) }));
    const deleted = planEviction(evictable, limits, Date.now());
    let freedBytes = 0;
    for (const id of deleted) {
      freedBytes += this.#entries.get(id)?.template.memoryBytes ?? 0;
      await this.remove(id);
    }
    return { deleted, freedBytes };
  }

  /** Finds those that an earlier daemon made; what it left half made is removed. @returns them, the oldest first */
  async recover(): Promise<TemplateRecord[]> {
    const found: TemplateRecord[] = [];
    await Promise.all(
      (await namesIn(join(this.#places.runtimeDir, 't'))).map(async (name) => {
        const dirs = this.dirs(name);
        const record = await readRecord(dirs.dir);
        const lives = record !== undefined && (await inspectJail(dirs.dir)).state === 'running';
        if (!lives) return removeTemplate(dirs);
        found.push(record);
        this.#entries.set(record.template.id, { template: { ...record.template, clones: 0 }, dirs });
      }),
    );
    // Of templates that a power cut has ended.
    const kept = new Set(this.all().map(({ dirs }) => dirs.diskDir));
    for (const name of await namesIn(join(this.#places.dataDir, 'templates'))) {
      const { diskDir } = this.dirs(name);
      if (!kept.has(diskDir)) await rm(diskDir, { recursive: true, force: true });
    }
    return found.sort((a, b) => a.template.createdAt.localeCompare(b.template.createdAt));
  }
}

export function keeperPath({ dir }: TemplateDirs): string {
  return join(dir, 'keep');
}

async function namesIn(dir: string): Promise<string[]> {
  return readdir(dir).catch(() => []);
}

async function readRecord(dir: string): Promise<TemplateRecord | undefined> {
  try {
    const { version, template, wantedAs } = JSON.parse(await readFile(join(dir, 'template.json'), 'utf8')) as {
      version: number;
      template: unknown;
      wantedAs?: string;
    };
    return version === 1 ? { template: Template.parse(template), wantedAs } : undefined;
  } catch {
    return undefined; // cut off, or of another version: it is made again
  }
}
