import { link, mkdir } from 'node:fs/promises';
import { SkerryError, type Vm } from '@skerry/api';
import type { AgentClient } from './agent/index.ts';
import { addLayer, linkLayers, type Cut } from './disks.ts';
import { assertCanUnmount, hasMounted, mountAgain, unmountShares } from './guest-shares.ts';
import { assertNotFrozen, type LiveVm } from './live.ts';
import { recordMemory, statePath, versionOf, type MemoryRecord } from './memory.ts';
import { recordOf } from './resume.ts';
import { assertSavable } from './share-plan.ts';

/** Memory and disks of one or several VMs as of one instant, copied while they stand still. */

export interface CutMember {
  readonly vm: Vm;
  /** Undefined: it does not run, and has a disk only. */
  readonly live: LiveVm | undefined;
  readonly dir: string;
  /** Virtual size of its disk. */
  readonly sizeBytes: number;
  /** Directories that get a copy: the memory with its record, and the layers under what it writes from now on. */
  readonly to: readonly string[];
}

export interface CutOptions {
  /** Copies that become others: their processes stand still until they have an identity of their own. */
  readonly isFork: boolean;
  /** They shall survive a crash of the host. */
  readonly durable: boolean;
  /** The network between them, stopped and let go on around the cut. */
  readonly network?: CutNetwork | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface CutNetwork {
  /** No frame comes in any more, and what was on its way arrives. */
  hold(): Promise<void>;
  /** All VMs stand still: what they have sent since is kept. */
  gather(): Promise<void>;
  /** Called in any case, when they go on. */
  release(): Promise<void>;
}

export interface Copied {
  readonly vm: Vm;
  /** Names of the layers in each directory of `to`, the lowest first. */
  readonly layers: readonly (readonly string[])[];
  readonly record: MemoryRecord | undefined;
}

const FREEZE_TIMEOUT_MS = 10_000;

interface Prepared {
  readonly member: CutMember;
  readonly layer: Cut;
  readonly running: Running | undefined;
}

interface Running {
  readonly live: LiveVm;
  /** Undefined for one that is paused: its processes stand still as it is. */
  readonly agent: AgentClient | undefined;
  readonly record: Omit<MemoryRecord, 'version'>;
}

/**
 * When it throws, all of them go on as before; what it wrote into `to` is the caller's to remove.
 * @returns how long they stood still
 */
export async function cutTogether(
  members: readonly CutMember[],
  options: CutOptions,
): Promise<{ readonly pausedMs: number; readonly copies: readonly Copied[] }> {
  const prepared = await Promise.all(members.map((member) => prepare(member, options)));
  const { signal, network } = options;
  // Those whose processes have to be stopped, and go on afterwards; a paused one is left as it is.
  const running = prepared.flatMap(({ member: { vm }, running: each }) =>
    each?.agent === undefined ? [] : [{ vm, live: each.live, agent: each.agent, lacksShares: false }],
  );
  const problems: unknown[] = [];
  // Whatever fails, the rest is done: nobody is left standing still.
  const attempt = async (body: () => Promise<unknown> | undefined): Promise<void> => {
    try {
      await body();
    } catch (error) {
      problems.push(error);
    }
  };
  let isCut = false;
  const versions: Versions = new Map();
  let pausedAtMs = performance.now();
  await attempt(async () => {
    await settleAll(running.map(({ agent }) => agent.freeze({ timeoutMs: FREEZE_TIMEOUT_MS, signal })));
    await settleAll(running.map(withoutShares));
    await network?.hold();
    // On a busy host QEMU may not have come to it: then it would reach the original alone.
    if (network !== undefined) await settleAll(running.map(({ live }) => live.machine.drain()));
    pausedAtMs = performance.now();
    await settleAll(running.map(({ live }) => live.machine.pause()));
    await network?.gather();
    isCut = true;
    await settleAll(prepared.map((each) => copyMemory(each, versions, signal)));
  });
  await attempt(() => settleAll(running.map(({ live }) => live.machine.resume())));
  const pausedMs = performance.now() - pausedAtMs;
  await attempt(() => network?.release());
  await attempt(() => settleAll(isCut ? [] : prepared.map(({ layer }) => layer.undo())));
  await attempt(() => settleAll(running.map(withShares)));
  await attempt(() => settleAll(running.map(({ agent }) => agent.thaw({ timeoutMs: FREEZE_TIMEOUT_MS }))));
  if (problems.length > 0) throw problems[0];
  return { pausedMs, copies: await Promise.all(prepared.map((each) => handOut(each, versions, options))) };
}

async function prepare({ vm, live, dir, sizeBytes, to }: CutMember, options: CutOptions): Promise<Prepared> {
  for (const each of to) await mkdir(each, { recursive: true, mode: 0o700 });
  const running = live === undefined ? undefined : await prepareRunning(vm, live, dir, options);
  return { member: { vm, live, dir, sizeBytes, to }, layer: await addLayer(dir, sizeBytes, options.signal), running };
}

async function prepareRunning(vm: Vm, live: LiveVm, dir: string, { isFork }: CutOptions): Promise<Running> {
  assertNotFrozen(vm.name, live);
  assertSavable(vm.name, vm.status);
  const isPaused = live.machine.state() === 'paused';
  if (isPaused && isFork) {
    throw new SkerryError(
      'wrong-state',
      `${vm.name} is paused: its processes could run before a fork has its identity`,
      {
        remedy: `Let it go on first: \`skerry resume ${vm.name}\`.`,
      },
    );
  }
  if (hasMounted(vm.status)) assertCanUnmount(vm.name, live);
  const agent = isPaused ? undefined : await live.agentSoon();
  return { live, agent, record: await recordOf(vm, live, dir, isFork) };
}

interface Standing {
  readonly vm: Vm;
  readonly agent: AgentClient;
  /** Its shares are unmounted. */
  lacksShares: boolean;
}

/** Its processes stand still already, so none can miss them. */
async function withoutShares(standing: Standing): Promise<void> {
  const { vm, agent } = standing;
  await unmountShares(agent, vm.name, vm.status.shares);
  standing.lacksShares = true;
}

async function withShares({ vm, agent, lacksShares }: Standing): Promise<void> {
  if (lacksShares) await mountAgain(agent, vm.status.shares);
}

/** Of the states that have been written. */
type Versions = Map<Running, MemoryRecord['version']>;

async function copyMemory(
  { member, layer, running }: Prepared,
  versions: Versions,
  signal: AbortSignal | undefined,
): Promise<void> {
  if (running === undefined) return;
  await running.live.machine.cutDisks([layer.path], { signal });
  const layout = await running.live.machine.saveState(statePath(member.to[0] ?? ''), { signal });
  versions.set(running, versionOf(layout));
}

async function handOut(
  { member, layer, running }: Prepared,
  versions: Versions,
  { durable }: CutOptions,
): Promise<Copied> {
  const [first = '', ...others] = member.to;
  const layers: string[][] = [];
  for (const each of member.to) layers.push(await linkLayers(member.dir, layer.below, each));
  const version = running === undefined ? undefined : versions.get(running);
  const record = running === undefined || version === undefined ? undefined : { ...running.record, version };
  if (record !== undefined) {
    for (const each of others) await link(statePath(first), statePath(each));
    for (const each of member.to) await recordMemory(each, record, durable);
  }
  return { vm: member.vm, layers, record };
}

/** Waits for all of them, then throws what the first failure was: nobody goes on while another is still at work. */
async function settleAll(all: readonly Promise<unknown>[]): Promise<void> {
  const failure = (await Promise.allSettled(all)).find(({ status }) => status === 'rejected');
  if (failure?.status === 'rejected') throw failure.reason;
}
