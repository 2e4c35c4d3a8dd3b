import { createHash } from 'node:crypto';
import { readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { SkerryError, Template, type TemplatePolicy } from '@skerry/api';
import { inspectJail, type Isolation, type VmLaunch } from '../hypervisors/index.ts';
import type { CloneChoice, TemplateWant } from '../vms/index.ts';
import { buildTemplate, layerPath, removeTemplate, writeRecord, type BuildPorts, type TemplateDirs } from './build.ts';
import { cloneLaunch, mountsRoot, planEviction, shapeOf, templateLaunch, type EvictionLimits } from './plan.ts';
import { TemplatePolicies } from './policies.ts';
import { Wishes } from './wishes.ts';

/**
 * Templates of this host: found, made when they are first wanted, and let go of. One of a shape serves all VMs of it; one of a
 * shape and an image has that image's root disk mounted, and serves VMs whose disk nobody has written to yet.
 */

export interface TemplatePorts extends BuildPorts {
  /** Templates do not outlive a reboot: they are kept beside the sockets. */
  readonly runtimeDir: string;
  /** For the layers that their guests have written: where VMs' disks are, which have links to them. */
  readonly dataDir: string;
  readonly policyPath: string;
  /** For a process of its own, until it is released. */
  readonly isolate: (launch: VmLaunch, name: string) => Promise<{ isolation: Isolation; release(): void }>;
  readonly limits: () => EvictionLimits;
  readonly onEvent: (type: string, message: string, data: Record<string, unknown>) => void;
}

interface Entry {
  template: Template;
  readonly dirs: TemplateDirs;
  /** As long as it is being built. */
  readonly building?: Promise<unknown> | undefined;
}

/** A shape whose template could not be made is not tried again for so long. */
const RETRY_MS = 60_000;
const WISHES = { misses: 2, quietMs: 2000 };

export class TemplateService {
  readonly #ports: TemplatePorts;
  readonly #policies: TemplatePolicies;
  readonly #entries = new Map<string, Entry>();
  readonly #failures = new Map<string, { readonly atMs: number; readonly message: string }>();
  readonly #closing = new AbortController();
  readonly #wishes = new Wishes(WISHES);
  /** How each shape was found last: another one for the same shape means that what it was made of has changed. */
  readonly #idOfShape = new Map<string, string>();

  constructor(ports: TemplatePorts) {
    this.#ports = ports;
    this.#policies = new TemplatePolicies(ports.policyPath);
  }

  list(): Template[] {
    return [...this.#entries.values()].map(({ template }) => template);
  }

  /** @param ref an id, or its beginning */
  get(ref: string): Template {
    return this.#entry(ref).template;
  }

  memoryBytes(): number {
    return this.list().reduce((sum, { memoryBytes }) => sum + memoryBytes, 0);
  }

  async policy(image: string): Promise<TemplatePolicy> {
    return this.#policies.of(image);
  }

  async setPolicy(image: string, policy: TemplatePolicy): Promise<{ image: string; policy: TemplatePolicy }> {
    await this.#policies.set(image, policy);
    return { image, policy };
  }

  eagerImages(): Promise<string[]> {
    return this.#policies.eager();
  }

  /** How a VM starts soonest: as a clone, of a template that is made now if there is none. Throws only when cancelled. */
  async choose(want: TemplateWant, signal: AbortSignal | undefined): Promise<CloneChoice> {
    const { launch, image } = want;
    if ((await this.#policies.of(image)) === 'never') return { coldReason: `the image ${image} is never cloned` };
    try {
      const { template, dirs } = (await this.#mounted(want)) ?? (await this.ensure(want, signal));
      return {
        launch: cloneLaunch(launch, keeperPath(dirs)),
        templateId: template.id,
        ...(template.image === undefined ? {} : { layerPath: layerPath(dirs) }),
      };
    } catch (error) {
      const problem = SkerryError.from(error);
      if (problem.code === 'cancelled') throw problem;
      return { coldReason: `no template: ${problem.message}` };
    } finally {
      this.#wishes.holdOff();
    }
  }

  /** The one of its image, if it is there: nobody waits for it. */
  async #mounted(want: TemplateWant): Promise<Entry | undefined> {
    if (!mountsRoot(want)) return undefined;
    const id = await this.#idOf(want);
    const entry = this.#entries.get(id);
    if (entry !== undefined && entry.building === undefined) return this.#used(id);
    if (entry === undefined && !this.#failedLately(id)) this.#wishes.miss(id, () => this.#ensure(id, want, undefined));
    return undefined;
  }

  /** Of the template that a machine of any image would be cloned from now, whether there is one or not. */
  idFor(launch: VmLaunch, diskBytes: readonly number[]): Promise<string> {
    return this.#idOf({ launch, diskBytes, image: '' });
  }

  /** One that serves all images. @throws SkerryError why it could not be made; for a minute the same without trying again */
  async ensure(want: TemplateWant, signal: AbortSignal | undefined): Promise<Entry> {
    const { root: _, ...any } = want;
    return this.#ensure(await this.#idOf(any), any, signal);
  }

  /** As `ensure`, for somebody who wants the templates and no VM. @returns the one that a new VM is cloned from */
  async make(want: TemplateWant, signal: AbortSignal | undefined): Promise<Template> {
    const { root: _, ...any } = want;
    let made: Template | undefined;
    for (const each of mountsRoot(want) ? [any, want] : [any]) {
      const id = await this.#idOf(each);
      this.#failures.delete(id);
      made = (await this.#ensure(id, each, signal)).template;
    }
    return made as Template;
  }

  async #ensure(id: string, want: TemplateWant, signal: AbortSignal | undefined): Promise<Entry> {
    const failure = this.#failedLately(id);
    if (failure !== undefined) {
      throw new SkerryError('failed', failure, { remedy: 'VMs of this shape boot cold meanwhile.' });
    }
    const known = this.#entries.get(id);
    if (known === undefined) await abortable(this.#build(id, want), signal);
    // Whoever else waits for it has a signal of his own: the build goes on for them.
    else if (known.building !== undefined) await abortable(known.building, signal);
    return this.#used(id);
  }

  #failedLately(id: string): string | undefined {
    const failure = this.#failures.get(id);
    return failure !== undefined && Date.now() - failure.atMs < RETRY_MS ? failure.message : undefined;
  }

  /** Ends all of them: nobody is left who could be cloned from one soon. */
  async clear(): Promise<void> {
    for (const { id, state } of this.list()) if (state !== 'building') await this.#remove(id);
  }

  /** A clone of it did not come up: it is not used again. */
  async distrust(id: string, why: string): Promise<void> {
    const entry = this.#entries.get(id);
    if (entry === undefined || entry.building !== undefined) return;
    this.#ports.onEvent('template.lost', `the template ${id} is not used any more: ${why}`, { id });
    await this.#remove(id);
  }

  /** @throws SkerryError `not-found`, `wrong-state` while it is being built */
  async delete(ref: string): Promise<void> {
    const { template, building } = this.#entry(ref);
    if (building !== undefined) {
      throw new SkerryError('wrong-state', `The template ${template.id} is being built`, {
        remedy: 'Wait until it is there (`skerry template list`), then delete it.',
      });
    }
    await this.#remove(template.id);
  }

  async prune({ unusedForMs }: { unusedForMs: number }): Promise<{ deleted: string[]; freedBytes: number }> {
    return this.#evict({ unusedForMs: unusedForMs - 1, memoryBytes: Number.POSITIVE_INFINITY });
  }

  /** Finds those that an earlier daemon made; what it left half made is removed. */
  async recover(): Promise<void> {
    const root = join(this.#ports.runtimeDir, 't');
    const names = await readdir(root).catch(() => [] as string[]);
    await Promise.all(
      names.map(async (name) => {
        const dirs = this.#dirs(name);
        const template = await readRecord(dirs.dir);
        const lives = template !== undefined && (await inspectJail(dirs.dir)).state === 'running';
        if (lives) this.#entries.set(template.id, { template: { ...template, clones: 0 }, dirs });
        else await removeTemplate(dirs);
      }),
    );
    // Of templates that a power cut has ended.
    const kept = new Set([...this.#entries.values()].map(({ dirs }) => dirs.diskDir));
    for (const name of await readdir(join(this.#ports.dataDir, 'templates')).catch(() => [] as string[])) {
      const { diskDir } = this.#dirs(name);
      if (!kept.has(diskDir)) await rm(diskDir, { recursive: true, force: true });
    }
  }

  /** Lets go of them: they wait for the next daemon. What is being built is given up. */
  async close(): Promise<void> {
    this.#closing.abort();
    await this.#wishes.close();
    await Promise.allSettled([...this.#entries.values()].map(async ({ building }) => building));
  }

  #dirs(id: string): TemplateDirs {
    const name = id.slice(0, 12);
    return { dir: join(this.#ports.runtimeDir, 't', name), diskDir: join(this.#ports.dataDir, 'templates', name) };
  }

  /** What two machines have in common when one can go on from the other's memory. */
  async #idOf({ launch, diskBytes, image, root }: TemplateWant): Promise<string> {
    const nobody = { dir: '/', keeperPath: '/', isolation: {} };
    const fingerprint = await this.#ports.driver.fingerprint(templateLaunch(launch, diskBytes, nobody));
    const id = createHash('sha256')
      .update(root === undefined ? fingerprint : `${fingerprint} ${root.digest}`)
      .digest('hex')
      .slice(0, 16);
    const shape = JSON.stringify([shapeOf(launch), diskBytes, root === undefined ? null : image]);
    const before = this.#idOfShape.get(shape);
    this.#idOfShape.set(shape, id);
    const old = before === undefined || before === id ? undefined : this.#entries.get(before);
    if (old !== undefined && old.template.state === 'ready') {
      old.template = { ...old.template, state: 'stale' };
      this.#ports.onEvent('template.stale', `the template ${before} is out of date: what it was made of has changed`, {
        id: before,
      });
    }
    return id;
  }

  #build(id: string, { launch, diskBytes, image, root }: TemplateWant): Promise<void> {
    const dirs = this.#dirs(id);
    const now = new Date().toISOString();
    const empty: Template = {
      id,
      state: 'building',
      origin: 'boot',
      shape: { ...shapeOf(launch), disks: diskBytes.length },
      ...(root === undefined ? {} : { image }),
      qemuVersion: '',
      createdAt: now,
      usedAt: now,
      clones: 0,
      memoryBytes: 0,
      stateBytes: 0,
      buildMs: 0,
    };
    const building = (async () => {
      const isolated = await this.#ports.isolate(launch, `template-${id.slice(0, 12)}`);
      try {
        const place = { dir: dirs.dir, keeperPath: keeperPath(dirs), isolation: isolated.isolation };
        const disk =
          root === undefined ? {} : { root: { path: layerPath(dirs), format: 'qcow2' as const, backing: root.disk } };
        const planned = templateLaunch(launch, diskBytes, { ...place, ...disk });
        const rootBytes = root === undefined ? undefined : diskBytes[0];
        const input = { dirs, launch: planned, keeperPath: place.keeperPath, rootBytes };
        const built = await buildTemplate(this.#ports, input, this.#closing.signal);
        const { qemuVersion, buildMs, memoryBytes, stateBytes } = built;
        const template: Template = { ...empty, state: 'ready', qemuVersion, buildMs, memoryBytes, stateBytes };
        await writeRecord(dirs.dir, template);
        this.#entries.set(id, { template, dirs });
        this.#failures.delete(id);
        this.#ports.onEvent('template.built', `template ${id} built in ${buildMs} ms`, { template });
      } catch (error) {
        this.#entries.delete(id);
        const { message } = SkerryError.from(error);
        if (!this.#closing.signal.aborted) {
          this.#failures.set(id, { atMs: Date.now(), message });
          this.#ports.onEvent('template.failed', `the template ${id} could not be made: ${message}`, { id });
        }
        throw error;
      } finally {
        isolated.release();
      }
      void this.#evict(this.#ports.limits()).catch(() => undefined);
    })();
    this.#entries.set(id, { template: empty, dirs, building });
    return building;
  }

  #used(id: string): Entry {
    const entry = this.#entries.get(id);
    if (entry === undefined) throw new SkerryError('failed', 'The template was deleted meanwhile');
    entry.template = { ...entry.template, clones: entry.template.clones + 1, usedAt: new Date().toISOString() };
    return entry;
  }

  async #evict(limits: EvictionLimits): Promise<{ deleted: string[]; freedBytes: number }> {
    const evictable = this.list().map((each) => ({ ...each, usedAtMs: Date.parse(each.usedAt) }));
    const deleted = planEviction(evictable, limits, Date.now());
    let freedBytes = 0;
    for (const id of deleted) {
      freedBytes += this.#entries.get(id)?.template.memoryBytes ?? 0;
      await this.#remove(id);
    }
    return { deleted, freedBytes };
  }

  async #remove(id: string): Promise<void> {
    const entry = this.#entries.get(id);
    this.#entries.delete(id);
    if (entry !== undefined) await removeTemplate(entry.dirs);
  }

  #entry(ref: string): Entry {
    const found = [...this.#entries.values()].filter(({ template }) => template.id.startsWith(ref));
    if (found.length === 1 && found[0] !== undefined && ref.length >= 4) return found[0];
    throw new SkerryError('not-found', `There is no template '${ref}'`, { remedy: 'See `skerry template list`.' });
  }
}

function keeperPath({ dir }: TemplateDirs): string {
  return join(dir, 'keep');
}

async function readRecord(dir: string): Promise<Template | undefined> {
  try {
    const { version, template } = JSON.parse(await readFile(join(dir, 'template.json'), 'utf8')) as {
      version: number;
      template: unknown;
    };
    return version === 1 ? Template.parse(template) : undefined;
  } catch {
    return undefined; // cut off, or of another version: it is made again
  }
}

/** @throws SkerryError `cancelled` when the signal comes first; the work goes on */
async function abortable<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return work;
  const stop = new AbortController();
  const aborted = new Promise<never>((_, reject) => {
    const onAbort = (): void => reject(new SkerryError('cancelled', 'Cancelled', { cause: signal.reason }));
    signal.addEventListener('abort', onAbort, { once: true, signal: stop.signal });
    if (signal.aborted) onAbort();
  });
  try {
    return await Promise.race([work, aborted]);
  } finally {
    stop.abort();
    work.catch(() => undefined);
    aborted.catch(() => undefined);
  }
}
