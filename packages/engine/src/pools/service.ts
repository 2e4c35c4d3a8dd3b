import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { SkerryError, type Pool, type PoolSet, type Vm, type VmSpec } from '@skerry/api';
import { uuidv7 } from '../store/index.ts';
import {
  diskSizeBytes,
  endMachine,
  OVERHEAD_MIB,
  shapeLaunch,
  type BootFiles,
  type PoolMember,
  type VmPools,
} from '../vms/index.ts';
import { makeWaiting } from './make.ts';
import { removeMember } from './member.ts';
import { giveWayIds, isPoolable, madeOf, nextPoolStep, NOTHING, type WantedPool } from './plan.ts';
import type { Member, PoolPorts, Wanted } from './ports.ts';
import { PoolRecords } from './records.ts';
import { Setbacks } from './setbacks.ts';
import { PoolSizes } from './sizes.ts';

/** Clones that wait, so that a start takes one of them: kept as many as was asked, and never in the way. */

interface Making {
  readonly id: string;
  readonly image: string;
  readonly memoryMib: number;
  readonly cancel: AbortController;
  /** Never rejects. */
  readonly done: Promise<void>;
}

/** A start is seldom alone: who makes several shall not share the processors with the making of a member. */
const QUIET_MS = 300;

export class PoolService implements VmPools {
  readonly #ports: PoolPorts;
  readonly #sizes: PoolSizes;
  readonly #records: PoolRecords;
  readonly #members = new Map<string, Member>();
  readonly #setbacks = new Setbacks();
  readonly #closing = new AbortController();
  #making: Making | undefined;
  #starts = 0;
  #quietAtMs = 0;
  #timer: NodeJS.Timeout | undefined;
  #working: Promise<void> | undefined;
  #hasMore = false;

  constructor(ports: PoolPorts) {
    this.#ports = ports;
    this.#sizes = new PoolSizes(join(ports.dataDir, 'pools.json'));
    this.#records = new PoolRecords(ports.dataDir);
  }

  async list(): Promise<Pool[]> {
    return [...(await this.#sizes.all())].map(([image, wanted]) => this.#shown(image, wanted));
  }

  /** Members are made in the background; of a pool of size 0 nothing is left when this returns. */
  async set(image: string, wanted: PoolSet): Promise<Pool> {
    await this.#sizes.set(image, wanted);
    this.#setbacks.forget(image);
    if (wanted.size === 0) {
      await this.#giveUpMaking(image);
      await this.#endAll((member) => member.image === image);
    }
    this.#soon(0);
    return this.#shown(image, wanted);
  }

  /** Ends those that came of this template, which is not trusted any more; others take their places. */
  async renew(templateId: string): Promise<void> {
    await this.#giveUpMaking();
    await this.#endAll((member) => member.templateId === templateId);
    this.#soon(0);
  }

  async take(spec: VmSpec, boot: BootFiles): Promise<{ readonly id: string; readonly mac: string } | undefined> {
    const ofImage = (): Member[] => this.#waiting().filter(({ image }) => image === spec.image);
    if (ofImage().length === 0 || !(await this.#canServe(spec))) return undefined;
    const wanted = await this.#madeOf(spec.image, spec, boot);
    const member = ofImage().find((each) => each.madeOf === wanted && each.live.machine.state() === 'paused');
    if (member === undefined) return undefined;
    member.isTaken = true;
    this.#ports.admission.keep(member.id);
    return member;
  }

  async #canServe(spec: VmSpec): Promise<boolean> {
    const [nic] = spec.nics;
    return isPoolable(spec) && nic !== undefined && (await this.#ports.isOnSwitch(nic.network));
  }

  async claim(vm: Vm, boot: BootFiles): Promise<PoolMember | undefined> {
    const member = this.#members.get(vm.id);
    if (member === undefined) return undefined;
    const isFit =
      (await this.#canServe(vm.spec)) && member.madeOf === (await this.#madeOf(vm.spec.image, vm.spec, boot));
    // A daemon that is being stopped may have ended it meanwhile.
    if (!this.#members.delete(vm.id)) return undefined;
    const dirs = this.#ports.dirs(vm.id);
    const giveUp = async (why: string): Promise<void> => {
      this.#ports.onError(
        new SkerryError('failed', `one that waited could not be used: ${why}`),
        `pool ${member.image}`,
      );
      await removeMember(dirs);
      await Promise.all([dirs.dir, dirs.runtimeDir].map((dir) => mkdir(dir, { recursive: true, mode: 0o700 })));
    };
    // A record that stays does no harm: the VM is there.
    await this.#records.remove(vm.id).catch((error: unknown) => this.#ports.onError(SkerryError.from(error), vm.name));
    if (isFit) return { ...member, giveUp };
    await endMachine(member.live.machine, member.live);
    this.#ports.uids.release(member.live.uid);
    await giveUp('it is not what the VM is to be any more');
    return undefined;
  }

  async drop(id: string): Promise<void> {
    const member = this.#members.get(id);
    if (member !== undefined) await this.#end(member);
  }

  holdOff(): Disposable {
    this.#starts += 1;
    return {
      [Symbol.dispose]: () => {
        this.#starts -= 1;
        this.#quietAtMs = performance.now() + QUIET_MS;
        this.#soon(QUIET_MS);
      },
    };
  }

  /** For VMs that shall start and lack this much memory: ends who waits, as many as it takes. */
  async giveWay(lackingMib: number): Promise<void> {
    // None takes the room again, of whatever image, before those have it who asked.
    for (const image of (await this.#sizes.all()).keys()) this.#failed(image, 'VMs needed the memory', true);
    const making = this.#making;
    const all = [...this.#waiting(), ...(making === undefined ? [] : [making])];
    const promised = all.map(({ id, memoryMib }) => ({ id, promisedMib: memoryMib + OVERHEAD_MIB }));
    const ids = new Set(giveWayIds(promised, lackingMib));
    await Promise.all([
      making !== undefined && ids.has(making.id) ? this.#giveUpMaking() : undefined,
      this.#endAll(({ id }) => ids.has(id)),
    ]);
  }

  /** Ends what an earlier daemon left. Before VMs are adopted: one that was made a VM meanwhile is found as that. */
  async recover(): Promise<void> {
    await Promise.all(
      (await this.#records.ids()).map(async (id) => {
        try {
          if (!(await this.#ports.vmExists(id))) await removeMember(this.#ports.dirs(id));
          await this.#records.remove(id);
        } catch (error) {
          // Its record stays: the next daemon tries again.
          this.#ports.onError(SkerryError.from(error), `one that waited in a pool, ${id}`);
        }
      }),
    );
  }

  /** Once all VMs that live have their memory: what is left may be used to wait. */
  start(): void {
    this.#soon(0);
  }

  async close(): Promise<void> {
    this.#closing.abort();
    clearTimeout(this.#timer);
    await this.#giveUpMaking();
    await this.#working;
    await Promise.all([...this.#members.values()].map((member) => this.#end(member)));
  }

  #waiting(): Member[] {
    return [...this.#members.values()].filter(({ isTaken }) => !isTaken);
  }

  #shown(image: string, { size, cpus, memoryMib }: PoolSet): Pool {
    const ready = this.#waiting().filter((member) => member.image === image);
    const problem = ready.length < size ? this.#setbacks.message(image) : undefined;
    const members = ready.map(({ id }) => id);
    if (this.#making?.image === image) members.push(this.#making.id);
    const message = problem === undefined ? {} : { message: problem };
    return { image, size, ready: ready.length, cpus, memoryMib, members, ...message };
  }

  /** What a member has to be made of now to be of use. */
  async #madeOf(image: string, { cpus, memoryMib }: Pick<VmSpec, 'cpus' | 'memoryMib'>, boot: BootFiles) {
    const { host, templates } = this.#ports;
    if ((await templates.policy(image)) === 'never') return NOTHING;
    const launch = shapeLaunch({ cpus, memoryMib, nics: 1 }, boot, await host());
    const id = await templates.idFor(launch, [diskSizeBytes(boot.image, undefined)]);
    return madeOf({ cpus, memoryMib }, boot, id);
  }

  #failed(image: string, message: string, isLong = false): void {
    const waitMs = this.#setbacks.add(image, message, { isLong });
    setTimeout(() => this.#soon(0), waitMs + 1).unref();
  }

  #soon(ms: number): void {
    if (this.#closing.signal.aborted) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#work(), ms).unref();
  }

  #work(): void {
    this.#hasMore = this.#working !== undefined;
    if (this.#hasMore || this.#closing.signal.aborted) return;
    this.#working = this.#rounds()
      .catch((error: unknown) => this.#ports.onError(SkerryError.from(error), 'pools'))
      .finally(() => {
        this.#working = undefined;
        // What was asked while it ended.
        if (this.#hasMore) this.#soon(0);
      });
  }

  async #rounds(): Promise<void> {
    while (!this.#closing.signal.aborted && this.#starts === 0) {
      const noisyMs = this.#quietAtMs - performance.now();
      if (noisyMs > 0) return this.#soon(noisyMs);
      const step = nextPoolStep(await this.#wanted(), this.#waiting());
      if (step === undefined) return;
      if (step.step === 'make') await this.#make(step.image);
      else await this.#endAll(({ id }) => step.ids.includes(id));
    }
  }

  async #wanted(): Promise<WantedPool[]> {
    const pools: WantedPool[] = [];
    for (const [image, wanted] of await this.#sizes.all()) {
      const isHeldBack = this.#setbacks.isHeldBack(image);
      const now = isHeldBack ? undefined : await this.#wantedOf(image, wanted);
      pools.push({ ...wanted, image, isHeldBack, madeOf: now });
    }
    return pools;
  }

  async #wantedOf(image: string, shape: PoolSet): Promise<WantedPool['madeOf']> {
    try {
      const now = await this.#madeOf(image, shape, await this.#boot(image, this.#closing.signal));
      if (now === NOTHING) this.#failed(image, 'the image is never cloned: see its policy', true);
      return now;
    } catch (error) {
      const { code, message } = SkerryError.from(error);
      this.#failed(image, message);
      return code === 'not-found' ? NOTHING : undefined;
    }
  }

  #boot(image: string, signal: AbortSignal): Promise<BootFiles> {
    return this.#ports.images.bootFiles({ image, kernel: 'auto' }, undefined, { signal });
  }

  async #make(image: string): Promise<void> {
    const shape = (await this.#sizes.all()).get(image);
    if (shape === undefined || this.#closing.signal.aborted) return;
    const cancel = new AbortController();
    const id = uuidv7();
    const { memoryMib } = shape;
    // Nothing of it happens before it is known that it is being made.
    const done = Promise.resolve()
      .then(() => this.#makeOne(id, image, shape, cancel.signal))
      .catch((error: unknown) => {
        if (!cancel.signal.aborted) this.#failed(image, SkerryError.from(error).message);
      });
    this.#making = { id, image, memoryMib, cancel, done };
    await done;
    this.#making = undefined;
  }

  async #makeOne(id: string, image: string, { cpus, memoryMib }: PoolSet, signal: AbortSignal): Promise<void> {
    const boot = await this.#boot(image, signal);
    const made = await this.#madeOf(image, { cpus, memoryMib }, boot);
    signal.throwIfAborted();
    const wanted: Wanted = { id, image, cpus, memoryMib, boot, madeOf: made };
    const member = await makeWaiting(this.#ports, this.#records, wanted, signal);
    this.#members.set(id, member);
    void member.live.machine.exited.then(({ reason }) => this.#lost(member, reason));
    // It came too late to be given up: it is ended as one that waits.
    if (signal.aborted) await this.#end(member);
    else this.#setbacks.overcome(image);
  }

  /** Ends the making of one, if one is being made. @param image only of this one */
  async #giveUpMaking(image?: string): Promise<void> {
    const making = this.#making;
    if (making === undefined || (image !== undefined && making.image !== image)) return;
    making.cancel.abort();
    await making.done;
  }

  /** Its process has ended by itself, or by a stranger's hand. */
  async #lost(member: Member, reason: string): Promise<void> {
    // Who takes one that has just ended finds out, and starts another way.
    if (this.#members.get(member.id) !== member || member.isTaken) return;
    this.#failed(member.image, `one that waited ended: ${reason}`);
    await this.#end(member);
  }

  async #endAll(which: (member: Member) => boolean): Promise<void> {
    await Promise.all(
      this.#waiting()
        .filter(which)
        .map((member) => this.#end(member)),
    );
  }

  /** Nothing of it is left but the directories of the VM that has its id. */
  async #end(member: Member): Promise<void> {
    const { admission, uids, onError, vmExists } = this.#ports;
    const { id, live } = member;
    if (!this.#members.delete(id)) return;
    try {
      await endMachine(live.machine, live);
      admission.release(id);
      const isVms = member.isTaken && (await vmExists(id));
      if (!isVms) await removeMember(this.#ports.dirs(id));
      uids.release(live.uid);
      await this.#records.remove(id);
    } catch (error) {
      // What it takes is not given to others, and its record stays: the next daemon tries again.
      onError(SkerryError.from(error), `pool ${member.image}`);
    }
  }
}
