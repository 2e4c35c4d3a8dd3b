import { z } from 'zod';
import type { Operation } from './operation.ts';
import { Node, Vm } from './resources.ts';
import { Autostart } from './vm-life.ts';

/** Calls about what becomes of VMs and nodes when their host restarts. A part of OPERATIONS. */
export const LIFE_OPERATIONS = {
  'vm.autostart': {
    method: 'PUT',
    path: '/vms/{vm}/autostart',
    kind: 'json',
    summary: 'Whether it runs again after a restart of the host',
    body: z.strictObject({ autostart: Autostart }),
    result: Vm,
  },
  'node.autostart': {
    method: 'PUT',
    path: '/nodes/{node}/autostart',
    kind: 'json',
    summary: 'Whether its VMs run again after a restart of the host',
    body: z.strictObject({ autostart: Autostart }),
    result: Node,
  },
} as const satisfies Record<string, Operation>;
