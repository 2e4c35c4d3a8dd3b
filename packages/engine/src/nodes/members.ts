import type { Vm } from '@skerry/api';
import { splitVmName } from '../vms/index.ts';

/** VMs of a node that are there, by their names inside it. Pure. */
export function membersOf(node: string, vms: readonly Vm[]): Map<string, Vm> {
  const members = new Map<string, Vm>();
  for (const vm of vms) {
    const split = splitVmName(vm.name);
    if (split.node === node) members.set(split.name, vm);
  }
  return members;
}
