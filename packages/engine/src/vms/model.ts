import type { ShareStatus, StartReport, Vm, VmExit, VmHealth, VmSpec, VmState, VmStatus } from '@skerry/api';
import { isWaiting } from './restart-plan.ts';

/** Pure: what to do next with a VM, from what is wanted and what is. */

export const VM_KIND = { kind: 'vm', collection: 'vms' } as const;

export type VmStep = 'start' | 'stop' | 'pause' | 'resume' | 'suspend' | 'delete' | 'none';

/** One step towards what is wanted; `none` when it is reached. Called again after each step. */
export function nextStep(spec: VmSpec, status: VmStatus): VmStep {
  const { state } = status;
  // A daemon that died between the end of an ephemeral VM and its deletion left it stopped.
  if (state === 'deleting' || vanishes({ spec, status })) return 'delete';
  // Its restart policy says when.
  const waits = isWaiting(status) && (state === 'crashed' || state === 'stopped');
  const alive = state === 'running' || state === 'paused';
  if (alive && spec.power !== 'stopped' && status.restarts < spec.restarts) return 'stop';
  switch (spec.power) {
    case 'running':
      if (state === 'paused') return 'resume';
      return alive || waits ? 'none' : 'start';
    case 'paused':
      if (state === 'running') return 'pause';
      return alive || waits ? 'none' : 'start';
    case 'suspended':
      return alive ? 'suspend' : 'none';
    case 'stopped':
      return alive || state === 'starting' || state === 'stopping' ? 'stop' : 'none';
  }
}

export function newVmStatus(nics: VmStatus['nics'], imageDigest: string): VmStatus {
  return { state: 'stopped', health: 'none', nics, warnings: [], imageDigest, restarts: 0 };
}

/** What a running VM's process and agent say of themselves. */
export interface LiveFacts {
  readonly process: NonNullable<VmStatus['process']>;
  readonly agent: VmStatus['agent'];
  readonly warnings: readonly string[];
  /** Absent: as its status has them. */
  readonly shares?: ShareStatus[] | undefined;
}

export function runningStatus(spec: VmSpec, status: VmStatus, live: LiveFacts, state: 'running' | 'paused'): VmStatus {
  const {
    exit: _exit,
    message: _message,
    healthMessage: _healthMessage,
    suspendedAt: _,
    ending: _ending,
    ...past
  } = status;
  const { recovery, ...rest } = past;
  // One that was adopted has an agent that an earlier daemon talked to; whether it answers us is still to be seen.
  const agent = live.agent ?? (status.agent === undefined ? undefined : { ...status.agent, connected: false });
  return {
    ...rest,
    state,
    health: spec.health === undefined ? 'none' : 'starting',
    process: live.process,
    warnings: [...live.warnings],
    ...(live.shares === undefined ? {} : { shares: live.shares }),
    ...(recovery === undefined ? {} : { recovery: { ...recovery, phase: 'up' } }),
    ...(agent === undefined ? {} : { agent }),
  };
}

/**
 * With a verdict of its health check. Why it is still starting may be told late: when it is well already, or gone. That it
 * is well for the first time is the end of its start.
 */
export function withHealth(status: VmStatus, health: VmHealth, message: string | undefined, now: Date): VmStatus {
  if (!isAlive(status.state) || (health === 'starting' && status.health !== 'starting')) return status;
  const { healthMessage: _, start, ...rest } = status;
  return {
    ...rest,
    ...(start === undefined ? {} : { start: health === 'healthy' ? withHealthPhase(start, now) : start }),
    health,
    ...(message === undefined ? {} : { healthMessage: [message, ...faultNotes(status)].join('; ') }),
  };
}

/** 'fault freeze-1f3a9c until 12:00:05' */
function faultNotes({ faults = [] }: VmStatus): string[] {
  return faults.map(
    ({ fault, endsAt }) => `fault ${fault}${endsAt === undefined ? '' : ` until ${endsAt.slice(11, 19)}`}`,
  );
}

/** A first verdict later than this says when somebody was there to ask. */
const START_ENDS_WITHIN_MS = 600_000;

function withHealthPhase(start: StartReport, now: Date): StartReport {
  const wallMs = now.getTime() - Date.parse(start.at);
  const ms = Math.max(0, Math.round((wallMs - start.totalMs) * 10) / 10);
  if (start.awaitsHealth !== true) return start;
  const ended = withoutHealthPhase(start);
  if (wallMs > START_ENDS_WITHIN_MS) return ended;
  return { ...ended, totalMs: start.totalMs + ms, phases: [...start.phases, { name: 'health', ms }] };
}

/** A check that it did not have when it started says nothing of its start. */
export function withoutHealthPhase({ awaitsHealth: _, ...start }: StartReport): StartReport {
  return start;
}

/** What is left of a status once its process is gone. */
export function endedStatus(status: VmStatus, exit: VmExit): VmStatus {
  const { process: _1, agent: _2, healthMessage: _3, message: _4, shares: _5, ...past } = status;
  const { ending: _, ...rest } = past;
  return {
    ...rest,
    state: exit.kind === 'crashed' ? 'crashed' : 'stopped',
    health: 'none',
    exit,
    ...(exit.kind === 'crashed' ? { message: exit.reason } : {}),
  };
}

export function suspendedStatus(status: VmStatus): VmStatus {
  const { process: _1, agent: _2, healthMessage: _3, message: _4, shares: _5, ...rest } = status;
  return { ...rest, state: 'suspended', health: 'none', suspendedAt: new Date().toISOString() };
}

/** Without a process, and none is to come of itself. */
export function isAtRest(state: VmState): boolean {
  return state === 'stopped' || state === 'crashed' || state === 'suspended';
}

/** What a machine that runs, or whose memory is saved, has; what is asked for counts from its next boot on. */
export function shapeOf({ spec, status }: Pick<Vm, 'spec' | 'status'>): { cpus: number; memoryMib: number } {
  const { start } = status;
  const hasMachine = isAlive(status.state) || status.suspendedAt !== undefined;
  if (!hasMachine) return { cpus: spec.cpus, memoryMib: spec.memoryMib };
  return { cpus: start?.cpus ?? spec.cpus, memoryMib: start?.memoryMib ?? spec.memoryMib };
}

export function isAlive(state: VmState): boolean {
  return state === 'running' || state === 'paused';
}

/** An ephemeral VM that has run and ended. One that was made and never started is still to be used. */
export function vanishes({ spec, status: { state, exit } }: Pick<Vm, 'spec' | 'status'>): boolean {
  return (
    spec.ephemeral && spec.power === 'stopped' && (state === 'stopped' || state === 'crashed') && exit !== undefined
  );
}

/** Short name of a VM in socket paths and cgroups: the random end of its UUID v7. */
export function shortId(vmId: string): string {
  return vmId.replaceAll('-', '').slice(-12);
}

/** 'shop/web' -> { node: 'shop', name: 'web' } */
export function splitVmName(name: string): { node: string | undefined; name: string } {
  const slash = name.indexOf('/');
  return slash === -1 ? { node: undefined, name } : { node: name.slice(0, slash), name: name.slice(slash + 1) };
}

export function describeState(vm: Vm): string {
  return vm.status.message === undefined ? vm.status.state : `${vm.status.state} (${vm.status.message})`;
}
