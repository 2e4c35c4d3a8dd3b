import type { NodeSpec, Vm } from '@skerry/api';
import { isAlive, OVERHEAD_MIB, type MemoryAsk } from '../vms/index.ts';

/** Memory that its VMs need beyond what those of them have that run. */
export function memoryAsks(spec: NodeSpec, running: ReadonlyMap<string, Vm>): MemoryAsk[] {
  return Object.entries(spec.vms).map(([name, { memoryMib }]) => {
    const actual = running.get(name);
    if (actual === undefined || !isAlive(actual.status.state)) return { memoryMib };
    return { memoryMib, freshMib: 0, coveredMib: actual.spec.memoryMib + OVERHEAD_MIB };
  });
}
