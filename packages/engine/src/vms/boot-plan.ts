import type { VmSpec, VmStatus } from '@skerry/api';
import { endedStatus, isAlive, suspendedStatus } from './model.ts';

/** Pure: what a VM is to be once its host has restarted. No process is left, memory on disk is. */

export interface AfterBoot {
  readonly spec: VmSpec;
  readonly status: VmStatus;
  /** It had a process that the restart has ended. */
  readonly ended: boolean;
}

/** Again and again the same, as a daemon may die over it. @param hasMemory it is on disk, complete */
export function afterBoot(spec: VmSpec, status: VmStatus, hasMemory: boolean, nowMs: number): AfterBoot {
  const { state } = status;
  if (state === 'deleting') return { spec, status, ended: false };
  if (state === 'suspended' || hasMemory) {
    const kept = state === 'suspended' ? status : suspendedStatus(status);
    return { spec: { ...spec, power: 'suspended' }, status: kept, ended: isAlive(state) };
  }
  const ended = isAlive(state) || state === 'starting' || state === 'stopping';
  const exit = {
    at: new Date(nowMs).toISOString(),
    kind: 'stopped' as const,
    reason: 'the host restarted',
    exitCode: null,
    signal: null,
  };
  const { recovery: _, ...rest } = ended ? endedStatus(status, exit) : status;
  const ran = spec.power === 'running' || spec.power === 'paused';
  if (ran && spec.ephemeral) return { spec, status: { ...rest, state: 'deleting' }, ended };
  if (spec.autostart === 'off') {
    const message = ran ? { message: 'it does not start with the host (autostart is off)' } : {};
    return { spec: { ...spec, power: 'stopped' }, status: { ...rest, ...message }, ended };
  }
  if (!ran && (spec.autostart !== 'on' || spec.ephemeral))
    return { spec: { ...spec, power: 'stopped' }, status: rest, ended };
  // What fails to start now is tried again by its policy, as what crashes.
  const isKept = spec.restart !== undefined && spec.restart.policy !== 'never';
  const recovery = isKept ? { recovery: { phase: 'starting' as const, tries: 0, failedAt: [] } } : {};
  return { spec: ran ? spec : { ...spec, power: 'running' }, status: { ...rest, ...recovery }, ended };
}
