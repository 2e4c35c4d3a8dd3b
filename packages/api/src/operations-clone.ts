import { z } from 'zod';
import { NodeFork, NodeRestore, NodeSave, NodeSaveCreate } from './node-save.ts';
import type { Operation } from './operation.ts';
import { Node, Vm } from './resources.ts';
import { Pool, PoolSet, Template, TemplateBuild, TemplatePolicy, TemplatePrune } from './template.ts';
import { HostUsage } from './usage.ts';
import { VmFork } from './vm.ts';

/** Calls about starting from memory instead of booting: templates, pools, forks, saves. A part of OPERATIONS. */
export const CLONE_OPERATIONS = {
  'template.list': {
    method: 'GET',
    path: '/templates',
    kind: 'json',
    summary: 'All templates',
    result: z.array(Template),
  },
  'template.get': {
    method: 'GET',
    path: '/templates/{template}',
    kind: 'json',
    summary: 'One template',
    result: Template,
  },
  'template.build': {
    method: 'POST',
    path: '/templates',
    kind: 'task',
    summary: 'Make the template of an image and shape now, instead of at its first start',
    body: TemplateBuild,
    result: Template,
  },
  'template.delete': {
    method: 'DELETE',
    path: '/templates/{template}',
    kind: 'task',
    summary: 'Let go of its memory; clones go on',
    result: z.object({}),
  },
  'template.prune': {
    method: 'POST',
    path: '/templates/prune',
    kind: 'task',
    summary: 'Delete the templates that have not been used for some time',
    body: TemplatePrune,
    result: z.object({ deleted: z.array(z.string()), freedBytes: z.int() }),
  },
  'template.policy': {
    method: 'PUT',
    path: '/images/{image}/template-policy',
    kind: 'json',
    summary: 'Whether VMs of an image are cloned from templates',
    body: z.strictObject({ policy: TemplatePolicy }),
    result: z.object({ image: z.string(), policy: TemplatePolicy }),
  },

  'vm.fork': {
    method: 'POST',
    path: '/vms/{vm}/fork',
    kind: 'task',
    summary: 'Make running copies of a running VM, memory and disk; it goes on',
    body: VmFork,
    result: z.array(Vm),
  },
  'vm.suspend': {
    method: 'POST',
    path: '/vms/{vm}/suspend',
    kind: 'task',
    summary: 'Save its memory to disk and end its process; `start` goes on from there',
    result: Vm,
  },

  'node.fork': {
    method: 'POST',
    path: '/nodes/{node}/fork',
    kind: 'task',
    summary: 'Copy a running node at one instant, onto networks of its own; both go on',
    body: NodeFork,
    result: Node,
  },
  'node.save': {
    method: 'POST',
    path: '/nodes/{node}/saves',
    kind: 'task',
    summary: 'Keep memory and disks of a node as of one instant; it goes on',
    body: NodeSaveCreate,
    result: NodeSave,
  },
  'node.saves': {
    method: 'GET',
    path: '/nodes/{node}/saves',
    kind: 'json',
    summary: 'What was saved of a node',
    result: z.array(NodeSave),
  },
  'node.restore': {
    method: 'POST',
    path: '/nodes/{node}/restore',
    kind: 'task',
    summary: 'Make a node what it was when it was saved; what it is now is lost',
    body: NodeRestore,
    result: Node,
  },
  'node.save.delete': {
    method: 'DELETE',
    path: '/nodes/{node}/saves/{save}',
    kind: 'task',
    summary: 'Delete a save',
    result: z.object({}),
  },

  'pool.list': { method: 'GET', path: '/pools', kind: 'json', summary: 'All pools', result: z.array(Pool) },
  'pool.set': {
    method: 'PUT',
    path: '/pools/{image}',
    kind: 'json',
    summary: 'How many clones of an image wait to be used',
    body: PoolSet,
    result: Pool,
  },
  'host.usage': {
    method: 'GET',
    path: '/host/usage',
    kind: 'json',
    summary: 'What VMs use of this host',
    result: HostUsage,
  },
} as const satisfies Record<string, Operation>;
