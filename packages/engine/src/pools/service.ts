import { mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { SkerryError, type Pool, type PoolSet, type Vm, type VmSpec } from '@skerry/api';
import { uuidv7 } from '../store/index.ts';
import type { TemplateService } from '../templates/index.ts';
import {
  diskSizeBytes,
  endMachine,
  OVERHEAD_MIB,
  shapeLaunch,
  type Admission,
  type BootFiles,
  type HostProfile,
  type LaunchDirs,
  type LiveVm,
  type PoolMember,
  type UidClaims,
  type VmImages,
  type VmPools,
} from '../vms/index.ts';
import { makeMember, removeMember, type MemberPorts } from './member.ts';
import { giveWayIds, isPoolable, madeOf, nextPoolStep, type WantedPool } from './plan.ts';
import { PoolSizes } from './sizes.ts';

/** Clones that wait, so that a start takes one of them: kept as many as was asked, and never in the way. */

export interface PoolPorts extends Omit<MemberPorts, 'templates'> {
  readonly templates: TemplateService;
  readonly images: VmImages;
  readonly uids: UidClaims;
  readonly admission: Admission;
  readonly host: () => Promise<HostProfile>;
  readonly dirs: (id: string) => LaunchDirs;
  /** The MAC of the first NIC of whoever has this id. */
  readonly macOf: (id: string) => string;
  readonly vmExists: (id: string) => Promise<boolean>;
  readonly dataDir: string;
  readonly onError: (error: SkerryError, what: string) => void;
}

interface Member {
  readonly id: string;
  readonly image: string;
  readonly memoryMib: number;
  readonly madeOf: string;
  readonly mac: string;
  readonly templateId: string;
  readonly live: LiveVm;
  /** A VM has its id. */
  isTaken: boolean;
}

/** A start is seldom alone: who makes several shall not share the processors with the making of a member. */
const QUIET_MS = 300;
const RETRY_MS = 30_000;

export class PoolService implements VmPools {
  readonly #ports: PoolPorts;
  readonly #sizes: PoolSizes;
  readonly #members = new Map<string, Member>();
  readonly #problems = new Map<string, { readonly atMs: number; readonly message: string }>();
  readonly #closing = new AbortController();
  #making: { readonly id: string; readonly image: string } | undefined;
  #starts = 0;
  #quietAtMs = 0;
  #timer: NodeJS.Timeout | undefined;
  #working: Promise<void> | undefined;
  #hasMore = false;

  constructor(ports: PoolPorts) {
    this.#ports = ports;
    this.#sizes = new PoolSizes(join(ports.dataDir, 'pools.json'));
  }

  async list(): Promise<Pool[]> {
    return [...(await this.#sizes.all())].map(([image, wanted]) => this.#shown(image, wanted));
  }

  /** Returns at once; members are made in the background, and ended before it returns. */
  async set(image: string, wanted: PoolSet): Promise<Pool> {
    await this.#sizes.set(image, wanted);
    this.#problems.delete(image);
    if (wanted.size === 0) {
      // One that is being made is ended by whoever makes it, once it is there.
      const waiting = this.#waiting().filter((member) => member.image === image);
      await Promise.all(waiting.map((member) => this.#end(member)));
    }
    this.#soon(0);
    return this.#shown(image, wanted);
  }

  async take(spec: VmSpec, boot: BootFiles): Promise<{ readonly id: string; readonly mac: string } | undefined> {
    const ofImage = (): Member[] => this.#waiting().filter(({ image }) => image === spec.image);
    if (!isPoolable(spec) || ofImage().length === 0) return undefined;
    const wanted = await this.#madeOf(spec, boot);
    const member = ofImage().find((each) => each.madeOf === wanted && each.live.machine.state() === 'paused');
    if (member === undefined) return undefined;
    member.isTaken = true;
    this.#ports.admission.keep(member.id);
    return member;
  }

  async claim(vm: Vm, boot: BootFiles): Promise<PoolMember | undefined> {
    const member = this.#members.get(vm.id);
    if (member === undefined) return undefined;
    const isFit = isPoolable(vm.spec) && member.madeOf === (await this.#madeOf(vm.spec, boot));
    // Its owner may have deleted it meanwhile.
    if (!this.#members.delete(vm.id)) return undefined;
    const dirs = this.#ports.dirs(vm.id);
    await rm(this.#recordOf(vm.id), { force: true });
    const giveUp = async (why: string): Promise<void> => {
      this.#ports.onError(
        new SkerryError('failed', `one that waited could not be used: ${why}`),
        `pool ${member.image}`,
      );
      await removeMember(dirs);
      await Promise.all([dirs.dir, dirs.runtimeDir].map((dir) => mkdir(dir, { recursive: true, mode: 0o700 })));
    };
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
    const waiting = this.#waiting().map(({ id, memoryMib }) => ({ id, promisedMib: memoryMib + OVERHEAD_MIB }));
    const ids = new Set(giveWayIds(waiting, lackingMib));
    const going = this.#waiting().filter(({ id }) => ids.has(id));
    for (const { image } of going) this.#failed(image, 'VMs needed the memory');
    await Promise.all(going.map((member) => this.#end(member)));
  }

  /** Ends what an earlier daemon left. Before VMs are adopted: one that was made a VM meanwhile is found as that. */
  async recover(): Promise<void> {
    const ids = await readdir(this.#recordsDir).catch(() => [] as string[]);
    await Promise.all(
      ids.map(async (id) => {
        if (!(await this.#ports.vmExists(id))) await removeMember(this.#ports.dirs(id));
        await rm(this.#recordOf(id), { force: true });
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
    await this.#working;
    await Promise.all([...this.#members.values()].map((member) => this.#end(member)));
  }

  get #recordsDir(): string {
    return join(this.#ports.dataDir, 'pool');
  }

  /** In dataDir: the disk of a member that a power cut has ended is there, too. */
  #recordOf(id: string): string {
    return join(this.#recordsDir, id);
  }

  #waiting(): Member[] {
    return [...this.#members.values()].filter(({ isTaken }) => !isTaken);
  }

  #shown(image: string, { size, cpus, memoryMib }: PoolSet): Pool {
    const ready = this.#waiting().filter((member) => member.image === image);
    const problem = ready.length < size ? this.#problems.get(image) : undefined;
    const members = ready.map(({ id }) => id);
    if (this.#making?.image === image) members.push(this.#making.id);
    const message = problem === undefined ? {} : { message: problem.message };
    return { image, size, ready: ready.length, cpus, memoryMib, members, ...message };
  }

  async #madeOf({ cpus, memoryMib }: Pick<VmSpec, 'cpus' | 'memoryMib'>, boot: BootFiles): Promise<string> {
    const launch = shapeLaunch({ cpus, memoryMib, nics: 1 }, boot, await this.#ports.host());
    const id = await this.#ports.templates.idFor(launch, [diskSizeBytes(boot.image, undefined)]);
    return madeOf({ cpus, memoryMib }, boot, id);
  }

  #failed(image: string, message: string): void {
    this.#problems.set(image, { atMs: performance.now(), message });
    setTimeout(() => this.#soon(0), RETRY_MS).unref();
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
      else
        await Promise.all(
          this.#waiting()
            .filter(({ id }) => step.ids.includes(id))
            .map((member) => this.#end(member)),
        );
    }
  }

  async #wanted(): Promise<WantedPool[]> {
    const pools: WantedPool[] = [];
    for (const [image, wanted] of await this.#sizes.all()) {
      const problem = this.#problems.get(image);
      const isHeldBack = problem !== undefined && performance.now() - problem.atMs < RETRY_MS - 100;
      const now = isHeldBack
        ? undefined
        : await this.#boot(image).then(
            (boot) => this.#madeOf(wanted, boot),
            (error: unknown) => this.#failed(image, SkerryError.from(error).message) ?? undefined,
          );
      pools.push({ ...wanted, image, isHeldBack, madeOf: now });
    }
    return pools;
  }

  #boot(image: string): Promise<BootFiles> {
    return this.#ports.images.bootFiles({ image, kernel: 'auto' }, undefined, { signal: this.#closing.signal });
  }

  async #make(image: string): Promise<void> {
    const { admission, host, uids } = this.#ports;
    const wanted = (await this.#sizes.all()).get(image);
    if (wanted === undefined) return;
    const id = uuidv7();
    const dirs = this.#ports.dirs(id);
    this.#making = { id, image };
    await using undo = new AsyncDisposableStack();
    undo.defer(() => void (this.#making = undefined));
    try {
      const boot = await this.#boot(image);
      const profile = await host();
      const shape = { cpus: wanted.cpus, memoryMib: wanted.memoryMib };
      const made = await this.#madeOf(shape, boot);
      await admission.admit(id, shape, { yields: true });
      undo.defer(() => admission.release(id));
      await mkdir(this.#recordsDir, { recursive: true, mode: 0o700 });
      await writeFile(this.#recordOf(id), '', { mode: 0o600 });
      undo.defer(async () => {
        await removeMember(dirs);
        await rm(this.#recordOf(id), { force: true });
      });
      const uid = uids.claim(profile);
      undo.defer(() => uids.release(uid));
      const mac = this.#ports.macOf(id);
      const input = { id, image, ...shape, mac, boot, profile, uid, dirs };
      const { live, templateId } = await makeMember(this.#ports, input, this.#closing.signal);
      admission.settle(id);
      const member: Member = {
        id,
        image,
        memoryMib: wanted.memoryMib,
        madeOf: made,
        mac,
        templateId,
        live,
        isTaken: false,
      };
      this.#members.set(id, member);
      this.#problems.delete(image);
      void live.machine.exited.then(({ reason }) => this.#lost(member, reason));
      undo.move();
      this.#making = undefined;
    } catch (error) {
      if (!this.#closing.signal.aborted) this.#failed(image, SkerryError.from(error).message);
    }
  }

  /** Its process has ended by itself, or by a stranger's hand. */
  async #lost(member: Member, reason: string): Promise<void> {
    // Who takes one that has just ended finds out, and starts another way.
    if (this.#members.get(member.id) !== member || member.isTaken) return;
    this.#failed(member.image, `one that waited ended: ${reason}`);
    await this.#end(member);
  }

  /** Nothing of it is left but the directories of the VM that has its id. */
  async #end(member: Member): Promise<void> {
    const { admission, uids, onError, vmExists } = this.#ports;
    const { id, live } = member;
    if (!this.#members.delete(id)) return;
    try {
      await endMachine(live.machine, live);
      const isVms = member.isTaken && (await vmExists(id));
      if (!isVms) await removeMember(this.#ports.dirs(id));
      await rm(this.#recordOf(id), { force: true });
    } catch (error) {
      // Its record stays: the next daemon tries again.
      onError(SkerryError.from(error), `pool ${member.image}`);
    }
    uids.release(live.uid);
    admission.release(id);
  }
}
