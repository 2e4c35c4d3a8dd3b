import type { NodeSpec, Vm } from '@skerry/api';
import { isAlive, OVERHEAD_MIB, wholeAsk, type MemoryAsk } from '../vms/index.ts';
import type { SaveManifest } from './manifest.ts';

/** Memory that a node's VMs need beyond what those of them have that run. Pure. */

export function memoryAsks(spec: NodeSpec, members: ReadonlyMap<string, Vm>): MemoryAsk[] {
  return Object.entries(spec.vms).map(([name, { memoryMib }]) => {
    const coveredMib = coveredOf(members.get(name));
    return coveredMib === 0 ? { memoryMib } : { memoryMib, freshMib: 0, coveredMib };
  });
}

/** Of copies of those that run. */
export function forkAsks(members: ReadonlyMap<string, Vm>): MemoryAsk[] {
  return [...members.values()]
    .filter(({ status }) => isAlive(status.state))
    .map(({ spec }) => wholeAsk(spec.memoryMib));
}

/** Of those that go on from what was saved of them; what runs in their places ends first. */
export function restoreAsks({ vms }: SaveManifest, members: ReadonlyMap<string, Vm>): MemoryAsk[] {
  return vms
    .filter(({ memory }) => memory !== undefined)
    .map(({ name, spec }) => {
      const coveredMib = coveredOf(members.get(name));
      return coveredMib === 0 ? wholeAsk(spec.memoryMib) : { memoryMib: spec.memoryMib, freshMib: 0, coveredMib };
    });
}

function coveredOf(vm: Vm | undefined): number {
  return vm !== undefined && isAlive(vm.status.state) ? vm.spec.memoryMib + OVERHEAD_MIB : 0;
}
