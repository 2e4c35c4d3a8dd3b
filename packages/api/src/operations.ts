import { z } from 'zod';
import { SkerryEvent } from './event.ts';
import { DoctorItem, HostInfo } from './host.ts';
import { Image, ImageBuild } from './image.ts';
import { NodeUp, PlanStep } from './node.ts';
import type { Operation } from './operation.ts';
import { SelectorQuery } from './label-schema.ts';
import { CHANGE_OPERATIONS } from './operations-change.ts';
import { CLONE_OPERATIONS } from './operations-clone.ts';
import { SHARE_OPERATIONS } from './operations-share.ts';
import { FAULT_OPERATIONS } from './operations-fault.ts';
import { NIC_OPERATIONS } from './operations-nic.ts';
import { LIFE_OPERATIONS } from './operations-life.ts';
import { NETWORK_OPERATIONS } from './operations-network.ts';
import { NODE_OPERATIONS } from './operations-node.ts';
import { SECRET_OPERATIONS } from './operations-secret.ts';
import { KEEP_OPERATIONS } from './operations-keep.ts';
import { Node, Vm } from './resources.ts';
import { FileDigest, FileEntry } from './streams.ts';
import { Task, TaskLogLine } from './task.ts';
import { StopGracePeriodMs } from './vm-life.ts';
import { VmCreate } from './vm.ts';

/**
 * Every call of the API, as data: the daemon's routes, the SDK's types, the CLI and the reference come from this table.
 * Whatever changes something answers 202 with a Task, whose `result` is the resource; `task.watch` follows it.
 */

export const WaitCondition = z.enum(['agent', 'healthy', 'stopped']);
export type WaitCondition = z.infer<typeof WaitCondition>;

export const DaemonInfo = z.object({
  version: z.string(),
  apiVersion: z.literal('v1'),
  pid: z.int(),
  startedAt: z.iso.datetime(),
  instance: z.string(),
  dataDir: z.string(),
  socketPath: z.string(),
  vms: z.object({ total: z.int(), running: z.int() }),
  /** VMs adopted at its last start, and how long that took. */
  adoption: z.object({ adopted: z.int(), ended: z.int(), ms: z.number() }),
  rssBytes: z.int(),
});
export type DaemonInfo = z.infer<typeof DaemonInfo>;

const queryFlag = z.stringbool().default(false);

export const OPERATIONS = {
  'daemon.info': { method: 'GET', path: '/daemon', kind: 'json', summary: 'The daemon itself', result: DaemonInfo },
  'daemon.stop': {
    method: 'POST',
    path: '/daemon/stop',
    kind: 'json',
    summary: 'Stop the daemon; VMs go on',
    result: z.object({}),
  },
  'host.info': { method: 'GET', path: '/host', kind: 'json', summary: 'What this host is', result: HostInfo },
  'host.doctor': {
    method: 'GET',
    path: '/host/doctor',
    kind: 'json',
    summary: 'What this host lacks, with the remedy',
    result: z.array(DoctorItem),
  },

  'vm.list': {
    method: 'GET',
    path: '/vms',
    kind: 'json',
    summary: 'All VMs, or those that a selector of labels matches',
    query: SelectorQuery,
    result: z.array(Vm),
  },
  'vm.create': { method: 'POST', path: '/vms', kind: 'task', summary: 'Make a VM', body: VmCreate, result: Vm },
  'vm.get': { method: 'GET', path: '/vms/{vm}', kind: 'json', summary: 'One VM', result: Vm },
  'vm.start': {
    method: 'POST',
    path: '/vms/{vm}/start',
    kind: 'task',
    summary: 'Start it; one that is suspended goes on where it was',
    query: z.strictObject({ discardMemory: queryFlag }),
    result: Vm,
  },
  'vm.stop': {
    method: 'POST',
    path: '/vms/{vm}/stop',
    kind: 'task',
    summary: 'Shut it down; power off if it does not within the time',
    /** Default: the VM's own `stopGracePeriodMs`. */
    body: z.strictObject({ timeoutMs: StopGracePeriodMs.optional() }),
    result: Vm,
  },
  'vm.restart': { method: 'POST', path: '/vms/{vm}/restart', kind: 'task', summary: 'Stop and start it', result: Vm },
  'vm.pause': { method: 'POST', path: '/vms/{vm}/pause', kind: 'task', summary: 'Stop its CPUs', result: Vm },
  'vm.resume': { method: 'POST', path: '/vms/{vm}/resume', kind: 'task', summary: 'Let its CPUs go on', result: Vm },
  'vm.kill': { method: 'POST', path: '/vms/{vm}/kill', kind: 'task', summary: 'Power it off at once', result: Vm },
  'vm.delete': {
    method: 'DELETE',
    path: '/vms/{vm}',
    kind: 'task',
    summary: 'Delete it and its disk',
    query: z.strictObject({ force: queryFlag }),
    result: z.object({}),
  },
  'vm.wait': {
    method: 'POST',
    path: '/vms/{vm}/wait',
    kind: 'json',
    summary: 'Wait until it is so',
    body: z.strictObject({ condition: WaitCondition, timeoutMs: z.int().min(1).max(86_400_000).default(30_000) }),
    result: Vm,
  },
  'vm.exec': {
    method: 'GET',
    path: '/vms/{vm}/exec',
    kind: 'websocket',
    summary: 'Run a command in it',
    result: z.unknown(),
  },
  'vm.console': {
    method: 'GET',
    path: '/vms/{vm}/console',
    kind: 'websocket',
    summary: 'Its serial console, past output first',
    result: z.unknown(),
  },
  'vm.connect': {
    method: 'GET',
    path: '/vms/{vm}/connect',
    kind: 'websocket',
    summary: 'A stream to a port in it, or to its ssh server; its networks have no part in it',
    result: z.unknown(),
  },
  'vm.logs': {
    method: 'GET',
    path: '/vms/{vm}/logs',
    kind: 'bytes',
    summary: 'Output of its command',
    query: z.strictObject({ follow: queryFlag }),
    result: z.unknown(),
  },
  'vm.file.put': {
    method: 'PUT',
    path: '/vms/{vm}/file',
    kind: 'bytes',
    summary: 'Write a file in it (the body is the content)',
    query: z.strictObject({
      path: z.string(),
      mode: z
        .string()
        .regex(/^[0-7]{1,4}$/)
        .optional(),
    }),
    result: FileDigest,
  },
  'vm.file.get': {
    method: 'GET',
    path: '/vms/{vm}/file',
    kind: 'bytes',
    summary: 'Read a file of it; the trailer x-skerry-sha256 is its checksum',
    query: z.strictObject({ path: z.string() }),
    result: z.unknown(),
  },
  'vm.file.stat': {
    method: 'GET',
    path: '/vms/{vm}/stat',
    kind: 'json',
    summary: 'What a path in it is',
    query: z.strictObject({ path: z.string() }),
    result: FileEntry,
  },
  'vm.file.list': {
    method: 'GET',
    path: '/vms/{vm}/directory',
    kind: 'json',
    summary: 'The entries of a directory in it',
    query: z.strictObject({ path: z.string() }),
    result: z.array(FileEntry),
  },

  'node.list': {
    method: 'GET',
    path: '/nodes',
    kind: 'json',
    summary: 'All nodes, or those that a selector of labels matches',
    query: SelectorQuery,
    result: z.array(Node),
  },
  'node.get': { method: 'GET', path: '/nodes/{node}', kind: 'json', summary: 'One node', result: Node },
  'node.plan': {
    method: 'POST',
    path: '/nodes/plan',
    kind: 'json',
    summary: 'What `up` would do',
    body: NodeUp,
    result: z.array(PlanStep),
  },
  'node.up': {
    method: 'POST',
    path: '/nodes',
    kind: 'task',
    summary: 'Make the node what the declaration says, and start it',
    body: NodeUp,
    result: Node,
  },
  'node.down': {
    method: 'POST',
    path: '/nodes/{node}/down',
    kind: 'task',
    summary: 'Stop its VMs, the last started first; disks stay',
    result: Node,
  },
  'node.delete': {
    method: 'DELETE',
    path: '/nodes/{node}',
    kind: 'task',
    summary: 'Stop and delete all of it',
    query: z.strictObject({ force: queryFlag }),
    result: z.object({}),
  },

  ...NODE_OPERATIONS,
  ...CHANGE_OPERATIONS,
  ...CLONE_OPERATIONS,
  ...SHARE_OPERATIONS,
  ...NIC_OPERATIONS,
  ...LIFE_OPERATIONS,
  ...FAULT_OPERATIONS,

  ...SECRET_OPERATIONS,
  ...KEEP_OPERATIONS,

  ...NETWORK_OPERATIONS,

  'image.list': { method: 'GET', path: '/images', kind: 'json', summary: 'All images', result: z.array(Image) },
  'image.get': { method: 'GET', path: '/images/{image}', kind: 'json', summary: 'One image', result: Image },
  'image.build': {
    method: 'POST',
    path: '/images',
    kind: 'task',
    summary: 'Build the micro image or one from a recipe',
    body: ImageBuild,
    result: Image,
  },
  'image.delete': {
    method: 'DELETE',
    path: '/images/{image}',
    kind: 'task',
    summary: 'Delete an image that no VM uses',
    result: z.object({}),
  },

  'task.list': { method: 'GET', path: '/tasks', kind: 'json', summary: 'Tasks, newest first', result: z.array(Task) },
  'task.get': { method: 'GET', path: '/tasks/{task}', kind: 'json', summary: 'One task', result: Task },
  'task.log': {
    method: 'GET',
    path: '/tasks/{task}/log',
    kind: 'json',
    summary: 'What it wrote',
    result: z.array(TaskLogLine),
  },
  'task.cancel': { method: 'POST', path: '/tasks/{task}/cancel', kind: 'json', summary: 'Cancel it', result: Task },
  'task.watch': {
    method: 'GET',
    path: '/tasks/{task}/watch',
    kind: 'ndjson',
    summary: 'The task as it changes, until it has ended',
    result: Task,
  },

  'event.list': {
    method: 'GET',
    path: '/events',
    kind: 'json',
    summary: 'What happened, oldest first',
    query: z.strictObject({
      after: z.coerce.number().int().min(0).default(0),
      limit: z.coerce.number().int().min(1).max(10_000).default(1000),
    }),
    result: z.array(SkerryEvent),
  },
  'event.follow': {
    method: 'GET',
    path: '/events/follow',
    kind: 'ndjson',
    summary: 'What happens from now on, or after an id',
    query: z.strictObject({ after: z.coerce.number().int().min(0).optional() }),
    result: SkerryEvent,
  },
} as const satisfies Record<string, Operation>;

export type OperationId = keyof typeof OPERATIONS;
export type OperationResult<I extends OperationId> = z.infer<(typeof OPERATIONS)[I]['result']>;
export type OperationBody<I extends OperationId> = (typeof OPERATIONS)[I] extends { body: infer B extends z.ZodType }
  ? z.input<B>
  : undefined;
