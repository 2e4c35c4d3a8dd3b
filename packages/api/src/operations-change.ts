import type { Operation } from './operation.ts';
import { Vm } from './resources.ts';
import { VmApply, VmChanged, VmPlan, VmRename, VmSet } from './vm-change.ts';

/** Calls that change what is asked of a VM. A part of OPERATIONS. */
export const CHANGE_OPERATIONS = {
  'vm.set': {
    method: 'PATCH',
    path: '/vms/{vm}',
    kind: 'json',
    summary: 'Change what is asked of it; null takes a field out',
    body: VmSet,
    result: VmChanged,
  },
  'vm.rename': {
    method: 'POST',
    path: '/vms/{vm}/rename',
    kind: 'json',
    summary: 'Give it another name; its id, disk and addresses stay',
    body: VmRename,
    result: Vm,
  },
  'vm.plan': {
    method: 'POST',
    path: '/vms/plan',
    kind: 'json',
    summary: 'What `apply` would do',
    body: VmApply,
    result: VmPlan,
  },
  'vm.apply': {
    method: 'POST',
    path: '/vms/apply',
    kind: 'task',
    summary: 'Make a VM, or make one that is there what is declared',
    body: VmApply,
    result: VmChanged,
  },
} as const satisfies Record<string, Operation>;
