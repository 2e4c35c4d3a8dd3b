import { createHash } from 'node:crypto';
import { SkerryError, type Template, type TemplatePolicy } from '@skerry/api';
import type { Isolation, VmLaunch } from '../hypervisors/index.ts';
import type { CloneChoice, TemplateWant } from '../vms/index.ts';
import { buildTemplate, layerPath, writeRecord, type BuildPorts } from './build.ts';
import { cloneLaunch, mountsRoot, shapeOf, templateLaunch, type EvictionLimits } from './plan.ts';
import { TemplatePolicies } from './policies.ts';
import { keeperPath, Shelf, type Entry, type ShelfPlaces } from './shelf.ts';
import { Wishes } from './wishes.ts';

/**
 * Templates of this host: found, made when they are first wanted, and let go of. One of a shape serves all VMs of it; one of a
 * shape and an image has that image's root disk mounted, and serves VMs whose disk nobody has written to yet.
 */

export interface TemplatePorts extends BuildPorts, ShelfPlaces {
  readonly policyPath: string;
  /** For a process of its own, until it is released. */
  readonly isolate: (launch: VmLaunch, name: string) => Promise<{ isolation: Isolation; release(): void }>;
  readonly limits: () => EvictionLimits;
  readonly onEvent: (type: string, message: string, data: Record<string, unknown>) => void;
}

/** A shape whose template could not be made is not tried again for so long. */
const RETRY_MS = 60_000;
const WISHES = { misses: 2, quietMs: 2000 };

export class TemplateService {
  readonly #ports: TemplatePorts;
  readonly #policies: TemplatePolicies;
  readonly #shelf: Shelf;
  readonly #failures = new Map<string, { readonly atMs: number; readonly message: string }>();
  readonly #closing = new AbortController();
  readonly #wishes = new Wishes(WISHES);
  /** How each shape was found last: another one for the same shape means that what it was made of has changed. */
  readonly #idOfShape = new Map<string, string>();

  constructor(ports: TemplatePorts) {
    this.#ports = ports;
    this.#shelf = new Shelf(ports);
    this.#policies = new TemplatePolicies(ports.policyPath);
  }

  /** What they take is asked of their keepers: clones that use much memory fill what the template had no pages for. */
  async list(): Promise<Template[]> {
    return this.#shelf.list();
  }

  /** @param ref an id, or its beginning */
  async get(ref: string): Promise<Template> {
    return this.#shelf.measured(this.#shelf.find(ref));
  }

  async memoryBytes(): Promise<number> {
    return (await this.list()).reduce((sum, { memoryBytes }) => sum + memoryBytes, 0);
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
    const entry = this.#shelf.get(id);
    if (entry !== undefined && entry.building === undefined) return this.#shelf.used(id);
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
    const known = this.#shelf.get(id);
    if (known === undefined) await abortable(this.#build(id, want), signal);
    // Whoever else waits for it has a signal of his own: the build goes on for them.
    else if (known.building !== undefined) await abortable(known.building, signal);
    return this.#shelf.used(id);
  }

  #failedLately(id: string): string | undefined {
    const failure = this.#failures.get(id);
    return failure !== undefined && Date.now() - failure.atMs < RETRY_MS ? failure.message : undefined;
  }

  /** Ends all of them: nobody is left who could be cloned from one soon. */
  async clear(): Promise<void> {
    for (const { template } of this.#shelf.all()) {
      if (template.state !== 'building') await this.#shelf.remove(template.id);
    }
  }

  /** A clone of it did not come up: it is not used again. */
  async distrust(id: string, why: string): Promise<void> {
    const entry = this.#shelf.get(id);
    if (entry === undefined || entry.building !== undefined) return;
    this.#ports.onEvent('template.lost', `the template ${id} is not used any more: ${why}`, { id });
    await this.#shelf.remove(id);
  }

  /** @throws SkerryError `not-found`, `wrong-state` while it is being built */
  async delete(ref: string): Promise<void> {
    const { template, building } = this.#shelf.find(ref);
    if (building !== undefined) {
      throw new SkerryError('wrong-state', `The template ${template.id} is being built`, {
        remedy: 'Wait until it is there (`skerry template list`), then delete it.',
      });
    }
    await this.#shelf.remove(template.id);
  }

  async prune({ unusedForMs }: { unusedForMs: number }): Promise<{ deleted: string[]; freedBytes: number }> {
    return this.#shelf.evict({ unusedForMs: unusedForMs - 1, memoryBytes: Number.POSITIVE_INFINITY });
  }

  /** Finds those that an earlier daemon made; what it left half made is removed. */
  async recover(): Promise<void> {
    for (const { template, wantedAs } of await this.#shelf.recover()) {
      if (wantedAs !== undefined) this.#isFor(wantedAs, template.id);
    }
  }

  /** Lets go of them: they wait for the next daemon. What is being built is given up. */
  async close(): Promise<void> {
    this.#closing.abort();
    await this.#wishes.close();
    await Promise.allSettled(this.#shelf.all().map(async ({ building }) => building));
  }

  /** What two machines have in common when one can go on from the other's memory. */
  async #idOf({ launch, diskBytes, image, root }: TemplateWant): Promise<string> {
    const nobody = { dir: '/', keeperPath: '/', isolation: {} };
    const fingerprint = await this.#ports.driver.fingerprint(templateLaunch(launch, diskBytes, nobody));
    const id = createHash('sha256')
      .update(root === undefined ? fingerprint : `${fingerprint} ${root.digest}`)
      .digest('hex')
      .slice(0, 16);
    this.#isFor(wantedAs({ launch, diskBytes, image, root }), id);
    return id;
  }

  /** The one of before, if it is another, is of no use to anybody. */
  #isFor(shape: string, id: string): void {
    const before = this.#idOfShape.get(shape);
    this.#idOfShape.set(shape, id);
    const old = before === undefined || before === id ? undefined : this.#shelf.get(before);
    if (old !== undefined && old.template.state === 'ready') {
      old.template = { ...old.template, state: 'stale' };
      this.#ports.onEvent('template.stale', `the template ${before} is out of date: what it was made of has changed`, {
        id: before,
      });
    }
  }

  #build(id: string, { launch, diskBytes, image, root }: TemplateWant): Promise<void> {
    const dirs = this.#shelf.dirs(id);
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
        await writeRecord(dirs.dir, { template, wantedAs: wantedAs({ launch, diskBytes, image, root }) });
        this.#shelf.put(id, { template, dirs });
        this.#failures.delete(id);
        this.#ports.onEvent('template.built', `template ${id} built in ${buildMs} ms`, { template });
      } catch (error) {
        this.#shelf.forget(id);
        const { message } = SkerryError.from(error);
        if (!this.#closing.signal.aborted) {
          this.#failures.set(id, { atMs: Date.now(), message });
          this.#ports.onEvent('template.failed', `the template ${id} could not be made: ${message}`, { id });
        }
        throw error;
      } finally {
        isolated.release();
      }
      void this.#shelf.evict(this.#ports.limits()).catch(() => undefined);
    })();
    this.#shelf.put(id, { template: empty, dirs, building });
    return building;
  }
}

/** What is asked for, and stays the same when what it is made of changes. */
function wantedAs({ launch, diskBytes, image, root }: TemplateWant): string {
  return JSON.stringify([shapeOf(launch), diskBytes, root === undefined ? null : image]);
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
