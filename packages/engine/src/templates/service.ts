import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { SkerryError, Template, type TemplatePolicy } from '@skerry/api';
import { inspectJail, type Isolation, type VmLaunch } from '../hypervisors/index.ts';
import { buildTemplate, removeTemplate, writeRecord, type BuildPorts } from './build.ts';
import { cloneLaunch, planEviction, shapeOf, templateLaunch, type EvictionLimits } from './plan.ts';
import { TemplatePolicies } from './policies.ts';

/** Templates of this host: found, made when they are first wanted, and let go of. */

export interface TemplatePorts extends BuildPorts {
  /** Templates do not outlive a reboot: they are kept beside the sockets. */
  readonly runtimeDir: string;
  readonly policyPath: string;
  /** For a process of its own, until it is released. */
  readonly isolate: (launch: VmLaunch, name: string) => Promise<{ isolation: Isolation; release(): void }>;
  readonly limits: () => EvictionLimits;
  readonly onEvent: (type: string, message: string, data: Record<string, unknown>) => void;
}

/** A VM's start from a template, or why there is none. */
export type CloneChoice = { readonly launch: VmLaunch; readonly templateId: string } | { readonly coldReason: string };

interface Entry {
  template: Template;
  readonly dir: string;
  /** As long as it is being built. */
  readonly building?: Promise<unknown> | undefined;
}

/** A shape whose template could not be made is not tried again for so long. */
const RETRY_MS = 60_000;

export class TemplateService {
  readonly #ports: TemplatePorts;
  readonly #policies: TemplatePolicies;
  readonly #entries = new Map<string, Entry>();
  readonly #failures = new Map<string, { readonly atMs: number; readonly message: string }>();
  readonly #closing = new AbortController();
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
  async choose(
    launch: VmLaunch,
    diskBytes: readonly number[],
    image: string,
    signal: AbortSignal | undefined,
  ): Promise<CloneChoice> {
    if ((await this.#policies.of(image)) === 'never') return { coldReason: `the image ${image} is never cloned` };
    try {
      const { template, dir } = await this.ensure(launch, diskBytes, signal);
      return { launch: cloneLaunch(launch, keeperPath(dir)), templateId: template.id };
    } catch (error) {
      const problem = SkerryError.from(error);
      if (problem.code === 'cancelled') throw problem;
      return { coldReason: `no template: ${problem.message}` };
    }
  }

  /** Of the template that a machine would be cloned from now, whether there is one or not. */
  idFor(launch: VmLaunch, diskBytes: readonly number[]): Promise<string> {
    return this.#idOf(launch, diskBytes);
  }

  /** @throws SkerryError why it could not be made; for a minute the same without trying again */
  async ensure(launch: VmLaunch, diskBytes: readonly number[], signal: AbortSignal | undefined): Promise<Entry> {
    const id = await this.#idOf(launch, diskBytes);
    const failure = this.#failures.get(id);
    if (failure !== undefined && Date.now() - failure.atMs < RETRY_MS) {
      throw new SkerryError('failed', failure.message, { remedy: 'VMs of this shape boot cold meanwhile.' });
    }
    const known = this.#entries.get(id);
    if (known !== undefined) {
      // Whoever else waits for it has a signal of his own: the build goes on for them.
      await (known.building === undefined ? undefined : abortable(known.building, signal));
      return this.#used(id);
    }
    await abortable(this.#build(id, launch, diskBytes), signal);
    return this.#used(id);
  }

  /** As `ensure`, for somebody who wants the template and no VM. */
  async make(launch: VmLaunch, diskBytes: readonly number[], signal: AbortSignal | undefined): Promise<Template> {
    this.#failures.delete(await this.#idOf(launch, diskBytes));
    return (await this.ensure(launch, diskBytes, signal)).template;
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
        const dir = join(root, name);
        const template = await readRecord(dir);
        const lives = template !== undefined && (await inspectJail(dir)).state === 'running';
        if (lives) this.#entries.set(template.id, { template: { ...template, clones: 0 }, dir });
        else await removeTemplate(dir);
      }),
    );
  }

  /** Lets go of them: they wait for the next daemon. What is being built is given up. */
  async close(): Promise<void> {
    this.#closing.abort();
    await Promise.allSettled([...this.#entries.values()].map(async ({ building }) => building));
  }

  /** What two machines have in common when one can go on from the other's memory. */
  async #idOf(launch: VmLaunch, diskBytes: readonly number[]): Promise<string> {
    const nobody = { dir: '/', keeperPath: '/', isolation: {} };
    const fingerprint = await this.#ports.driver.fingerprint(templateLaunch(launch, diskBytes, nobody));
    const id = createHash('sha256').update(fingerprint).digest('hex').slice(0, 16);
    const shape = JSON.stringify([shapeOf(launch), diskBytes]);
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

  #build(id: string, launch: VmLaunch, diskBytes: readonly number[]): Promise<void> {
    const dir = join(this.#ports.runtimeDir, 't', id.slice(0, 12));
    const now = new Date().toISOString();
    const empty: Template = {
      id,
      state: 'building',
      origin: 'boot',
      shape: { ...shapeOf(launch), disks: diskBytes.length },
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
        const place = { dir, keeperPath: keeperPath(dir), isolation: isolated.isolation };
        const planned = templateLaunch(launch, diskBytes, place) as Parameters<typeof buildTemplate>[1];
        const built = await buildTemplate(this.#ports, planned, this.#closing.signal);
        const { qemuVersion, buildMs, memoryBytes, stateBytes } = built;
        const template: Template = { ...empty, state: 'ready', qemuVersion, buildMs, memoryBytes, stateBytes };
        await writeRecord(dir, template);
        this.#entries.set(id, { template, dir });
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
    this.#entries.set(id, { template: empty, dir, building });
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
    if (entry !== undefined) await removeTemplate(entry.dir);
  }

  #entry(ref: string): Entry {
    const found = [...this.#entries.values()].filter(({ template }) => template.id.startsWith(ref));
    if (found.length === 1 && found[0] !== undefined && ref.length >= 4) return found[0];
    throw new SkerryError('not-found', `There is no template '${ref}'`, { remedy: 'See `skerry template list`.' });
  }
}

function keeperPath(dir: string): string {
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
