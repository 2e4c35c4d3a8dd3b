import { z } from 'zod';
import { FaultStart } from './fault.ts';
import type { Operation } from './operation.ts';
import { Fault } from './resources.ts';

/** Calls about what is made to go wrong on purpose. A part of OPERATIONS. */
export const FAULT_OPERATIONS = {
  'fault.list': {
    method: 'GET',
    path: '/faults',
    kind: 'json',
    summary: 'Faults that are active, or also those that have ended; oldest first',
    query: z.strictObject({ all: z.stringbool().default(false) }),
    result: z.array(Fault),
  },
  'fault.get': { method: 'GET', path: '/faults/{fault}', kind: 'json', summary: 'One fault', result: Fault },
  'fault.start': {
    method: 'POST',
    path: '/faults',
    kind: 'json',
    summary: 'Make something go wrong, for a while',
    body: FaultStart,
    result: Fault,
  },
  'fault.clear': {
    method: 'POST',
    path: '/faults/clear',
    kind: 'json',
    summary: 'End faults before their time: one, those of a VM or node, or all',
    /** The name or id of a fault, a VM or a node. */
    body: z.strictObject({ of: z.string().optional() }),
    result: z.array(Fault),
  },
} as const satisfies Record<string, Operation>;
