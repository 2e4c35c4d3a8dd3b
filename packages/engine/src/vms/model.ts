import type { Vm, VmExit, VmHealth, VmSpec, VmState, VmStatus } from '@skerry/api';

/** Pure: what to do next with a VM, from what is wanted and what is. */

export const VM_KIND = { kind: 'vm', collection: 'vms' } as const;

export type VmStep = 'start' | 'stop' | 'pause' | 'resume' | 'suspend' | 'delete' | 'none';

/** One step towards what is wanted; `none` when it is reached. Called again after each step. */
export function nextStep(spec: VmSpec, status: VmStatus): VmStep {
  const { state } = status;
  if (state === 'deleting') return 'delete';
  const alive = state === 'running' || state === 'paused';
  if (alive && spec.power !== 'stopped' && status.restarts < spec.restarts) return 'stop';
  switch (spec.power) {
    case 'running':
      if (state === 'paused') return 'resume';
      return alive ? 'none' : 'start';
    case 'paused':
      if (state === 'running') return 'pause';
      return alive ? 'none' : 'start';
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
}

export function runningStatus(spec: VmSpec, status: VmStatus, live: LiveFacts, state: 'running' | 'paused'): VmStatus {
  const { exit: _exit, message: _message, healthMessage: _healthMessage, suspendedAt: _, ...rest } = status;
  // One that was adopted has an agent that an earlier daemon talked to; whether it answers us is still to be seen.
  const agent = live.agent ?? (status.agent === undefined ? undefined : { ...status.agent, connected: false });
  return {
    ...rest,
    state,
    health: spec.health === undefined ? 'none' : 'starting',
    process: live.process,
    warnings: [...live.warnings],
    ...(agent === undefined ? {} : { agent }),
  };
}

/** With a verdict of its health check. Why it is still starting may be told late: when it is well already, or gone. */
export function withHealth(status: VmStatus, health: VmHealth, message: string | undefined): VmStatus {
  if (!isAlive(status.state) || (health === 'starting' && status.health !== 'starting')) return status;
  const { healthMessage: _, ...rest } = status;
  return { ...rest, health, ...(message === undefined ? {} : { healthMessage: message }) };
}

/** What is left of a status once its process is gone. */
export function endedStatus(status: VmStatus, exit: VmExit): VmStatus {
  const { process: _process, agent: _agent, healthMessage: _healthMessage, message: _message, ...rest } = status;
  return {
    ...rest,
    state: exit.kind === 'crashed' ? 'crashed' : 'stopped',
    health: 'none',
    exit,
    ...(exit.kind === 'crashed' ? { message: exit.reason } : {}),
  };
}

export function suspendedStatus(status: VmStatus): VmStatus {
  const { process: _process, agent: _agent, healthMessage: _healthMessage, message: _message, ...rest } = status;
  return { ...rest, state: 'suspended', health: 'none', suspendedAt: new Date().toISOString() };
}

export function isAlive(state: VmState): boolean {
  return state === 'running' || state === 'paused';
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
