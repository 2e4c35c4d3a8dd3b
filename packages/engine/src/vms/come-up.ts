import type { LiveVm, LiveVmOptions } from './live.ts';
import { removeMemory, savedMemory, usedMemory } from './memory.ts';
import type { PoolMember, WorkOptions } from './ports.ts';
import { finishResume, resumeVm } from './resume.ts';
import { endMachine, startVm, type Started, type StartInput, type StartPorts } from './start.ts';

/** Which of the ways a VM comes up by: what it was left as decides. */

export interface Left {
  /** Its process, of a resume that was cut off when the guest had begun to run. */
  readonly begun: LiveVm | undefined;
  readonly member: PoolMember | undefined;
  /** Resolves once the store knows that it is being started. */
  readonly marked: Promise<unknown>;
}

/** When it throws, no process is left of it. */
export async function comeUp(
  ports: StartPorts,
  { vm, ...rest }: Omit<StartInput, 'secrets'>,
  { begun, member, marked }: Left,
  liveOptions: LiveVmOptions,
  work: WorkOptions,
): Promise<Started> {
  const { dirs } = rest;
  // One that can't be read is found out before there is a process.
  const input = { vm, ...rest, secrets: await ports.secrets.open(vm.spec.secrets ?? []) };
  // It has never run as this VM, so there is no memory to go on from.
  if (member !== undefined) return startVm(ports, input, member, liveOptions, work);
  if (begun !== undefined) {
    const used = await usedMemory(dirs.dir);
    if (used !== undefined) return finishResume(ports, input, used, begun, work);
    await endMachine(begun.machine, begun);
  }
  const memory = await savedMemory(dirs.dir);
  if (memory !== undefined) {
    // Before the memory is used up: who finds the machine then has to know that it was being started.
    await marked;
    return resumeVm(ports, input, memory, liveOptions, work);
  }
  // What the guest went on from already is of no use any more.
  if (vm.status.suspendedAt !== undefined) await removeMemory(dirs.dir);
  using turn = await ports.turns.take(work.signal);
  if (turn.hasWaited) input.waterfall.mark('queue');
  return await startVm(ports, input, undefined, liveOptions, work);
}
