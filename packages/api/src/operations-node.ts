import { z } from 'zod';
import { SkerryEvent } from './event.ts';
import { PlanStep } from './node.ts';
import { NodeLogLine, NodeLogQuery, NodeRestart, NodeScale, NodeUpdate } from './node-verbs.ts';
import type { Operation } from './operation.ts';
import { Node } from './resources.ts';

/** Calls about the daily work with nodes. A part of OPERATIONS. */
export const NODE_OPERATIONS = {
  'node.scale': {
    method: 'POST',
    path: '/nodes/{node}/scale',
    kind: 'task',
    summary: 'Say how many of its VMs there shall be',
    body: NodeScale,
    result: Node,
  },
  'node.scale.plan': {
    method: 'POST',
    path: '/nodes/{node}/scale/plan',
    kind: 'json',
    summary: 'What `scale` would do',
    body: NodeScale,
    result: z.array(PlanStep),
  },
  'node.update': {
    method: 'POST',
    path: '/nodes/{node}/update',
    kind: 'task',
    summary: 'Give VMs another image, batch by batch; a batch that does not become healthy gets its old disks back',
    body: NodeUpdate,
    result: Node,
  },
  'node.update.plan': {
    method: 'POST',
    path: '/nodes/{node}/update/plan',
    kind: 'json',
    summary: 'What `update` would do',
    body: NodeUpdate,
    result: z.array(PlanStep),
  },
  'node.restart': {
    method: 'POST',
    path: '/nodes/{node}/restart',
    kind: 'task',
    summary: 'Stop and start its VMs, each after those that it depends on',
    body: NodeRestart,
    result: Node,
  },
  'node.logs': {
    method: 'GET',
    path: '/nodes/{node}/logs',
    kind: 'ndjson',
    summary: "Output of its VMs' commands, in the order of time",
    query: NodeLogQuery,
    result: NodeLogLine,
  },
  'node.events': {
    method: 'GET',
    path: '/nodes/{node}/events',
    kind: 'json',
    summary: 'What happened to it, its VMs and its tasks, oldest first',
    query: z.strictObject({
      after: z.coerce.number().int().min(0).default(0),
      limit: z.coerce.number().int().min(1).max(10_000).default(1000),
    }),
    result: z.array(SkerryEvent),
  },
  'node.events.follow': {
    method: 'GET',
    path: '/nodes/{node}/events/follow',
    kind: 'ndjson',
    summary: 'The same from now on, or after an id',
    query: z.strictObject({ after: z.coerce.number().int().min(0).optional() }),
    result: SkerryEvent,
  },
} as const satisfies Record<string, Operation>;
