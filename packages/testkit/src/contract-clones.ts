import { randomUUID } from 'node:crypto';
import {
  NodeFork,
  NodeRestore,
  type Node,
  type NodeSave,
  NodeSaveCreate,
  OPERATIONS,
  type Pool,
  PoolSet,
  SkerryError,
  type Task,
  type Template,
  TemplateBuild,
  TemplatePrune,
  type Vm,
  VmFork,
  type VmUsage,
} from '@skerry/api';
import type { FastifyInstance } from 'fastify';

/** The part of the contract server about templates, forks, saves, pools and usage; its machines are entries in maps, too. */

export interface CloneEntries {
  readonly templates: Map<string, Template>;
  readonly pools: Map<string, Pool>;
  readonly nodes: Map<string, Node>;
  readonly saves: NodeSave[];
  readonly policies: Map<string, string>;
}

interface Server {
  readonly vms: Map<string, Vm>;
  readonly find: (ref: string) => Vm;
  readonly accept: (kind: string, work: (task: Task) => Promise<unknown>) => Task;
}

const now = (): string => new Date().toISOString();

export function nodeOf(name: string): Node {
  return {
    kind: 'node',
    id: randomUUID(),
    name,
    project: 'default',
    labels: {},
    createdAt: now(),
    updatedAt: now(),
    revision: 1,
    spec: { vms: {}, networks: {}, recipes: {}, power: 'up' },
    status: { state: 'up', vms: {} },
  };
}

export function cloneRoutes(app: FastifyInstance, { vms, find, accept }: Server): CloneEntries {
  const entries: CloneEntries = {
    templates: new Map(),
    pools: new Map(),
    nodes: new Map(),
    saves: [],
    policies: new Map(),
  };
  const { templates, pools, nodes, saves, policies } = entries;

  const templateAt = (ref: string): Template => {
    const found = [...templates.values()].find(({ id }) => id.startsWith(ref));
    if (found !== undefined) return found;
    throw new SkerryError('not-found', `There is no template '${ref}'`, { remedy: 'See `skerry template list`.' });
  };
  app.get('/v1/templates', () => [...templates.values()]);
  app.get<{ Params: { template: string } }>('/v1/templates/:template', ({ params }) => templateAt(params.template));
  app.post('/v1/templates', ({ body }, reply) => {
    const { cpus, memoryMib, nics } = TemplateBuild.parse(body);
    const template: Template = {
      id: randomUUID().replaceAll('-', '').slice(0, 16),
      state: 'ready',
      origin: 'boot',
      shape: { cpus, memoryMib, disks: 1, nics, kernel: 'micro', machine: 'microvm', accelerator: 'tcg' },
      qemuVersion: '7.2.0',
      createdAt: now(),
      usedAt: now(),
      clones: 0,
      memoryBytes: memoryMib * 2 ** 20,
      stateBytes: 50_000,
      buildMs: 800,
    };
    void reply.code(202);
    return accept('template.build', async () => {
      templates.set(template.id, template);
      return template;
    });
  });
  app.delete<{ Params: { template: string } }>('/v1/templates/:template', ({ params }, reply) => {
    const { id } = templateAt(params.template);
    void reply.code(202);
    return accept('template.delete', async () => void templates.delete(id));
  });
  app.post('/v1/templates/prune', ({ body }, reply) => {
    const { unusedForMs } = TemplatePrune.parse(body);
    void reply.code(202);
    return accept('template.prune', async () => {
      const unused = [...templates.values()].filter(({ usedAt }) => Date.now() - Date.parse(usedAt) >= unusedForMs);
      for (const { id } of unused) templates.delete(id);
      return {
        deleted: unused.map(({ id }) => id),
        freedBytes: unused.reduce((sum, { memoryBytes }) => sum + memoryBytes, 0),
      };
    });
  });
  app.put<{ Params: { image: string } }>('/v1/images/:image/template-policy', ({ params: { image }, body }) => {
    const { policy } = OPERATIONS['template.policy'].body.parse(body);
    policies.set(image, policy);
    return { image, policy };
  });

  app.post<{ Params: { vm: string } }>('/v1/vms/:vm/fork', ({ params, body }, reply) => {
    const original = find(params.vm);
    const { name, count } = VmFork.parse(body);
    void reply.code(202);
    return accept('vm.fork', async () =>
      Array.from({ length: count }, (_, index) => {
        const fork = { ...original, id: randomUUID(), name: count === 1 ? name : `${name}-${index + 1}` };
        vms.set(fork.id, fork);
        return fork;
      }),
    );
  });

  type NodeRoute = { Params: { node: string } };
  const nodeAt = (name: string): Node => {
    const node = nodes.get(name);
    if (node !== undefined) return node;
    throw new SkerryError('not-found', `There is no node '${name}'`, { remedy: 'See `skerry node list`.' });
  };
  const saveAt = (node: string, name: string): NodeSave => {
    const save = saves.find((each) => each.node === node && each.name === name);
    if (save !== undefined) return save;
    throw new SkerryError('not-found', `${node} has no save '${name}'`, {
      remedy: `See \`skerry node saves ${node}\`.`,
    });
  };
  app.post<NodeRoute>('/v1/nodes/:node/fork', ({ params, body }, reply) => {
    nodeAt(params.node);
    const { name } = NodeFork.parse(body);
    void reply.code(202);
    return accept('node.fork', async () => {
      const fork = nodeOf(name);
      nodes.set(name, fork);
      return fork;
    });
  });
  app.get<NodeRoute>('/v1/nodes/:node/saves', ({ params: { node } }) =>
    saves.filter((save) => save.node === nodeAt(node).name),
  );
  app.post<NodeRoute>('/v1/nodes/:node/saves', ({ params, body }, reply) => {
    const node = nodeAt(params.node).name;
    const { name } = NodeSaveCreate.parse(body);
    const save: NodeSave = {
      node,
      name,
      createdAt: now(),
      vms: [{ name: 'web', memoryMib: 128, state: 'running', bytes: 2 ** 20 }],
      bytes: 2 ** 20,
      qemuVersion: '7.2.0',
    };
    void reply.code(202);
    return accept('node.save', async () => {
      saves.push(save);
      return save;
    });
  });
  app.post<NodeRoute>('/v1/nodes/:node/restore', ({ params, body }, reply) => {
    const node = nodeAt(params.node);
    saveAt(node.name, NodeRestore.parse(body).save);
    void reply.code(202);
    return accept('node.restore', async () => node);
  });
  app.delete<{ Params: { node: string; save: string } }>('/v1/nodes/:node/saves/:save', ({ params }, reply) => {
    const save = saveAt(params.node, params.save);
    void reply.code(202);
    return accept('node.save.delete', async () => void saves.splice(saves.indexOf(save), 1));
  });

  app.get('/v1/pools', () => [...pools.values()]);
  app.put<{ Params: { image: string } }>('/v1/pools/:image', ({ params: { image }, body }) => {
    const { size, cpus, memoryMib } = PoolSet.parse(body);
    const pool: Pool = { image, size, ready: 0, cpus, memoryMib, members: [] };
    if (size === 0) pools.delete(image);
    else pools.set(image, pool);
    return pool;
  });

  app.get('/v1/host/usage', () => {
    const atMs = performance.now();
    return {
      atMs,
      cpus: 2,
      cpuBusyMs: atMs,
      memoryTotalBytes: 8 * 2 ** 30,
      memoryAvailableBytes: 6 * 2 ** 30,
      templateBytes: [...templates.values()].reduce((sum, { memoryBytes }) => sum + memoryBytes, 0),
      pools: [...pools.values()].map(({ image, size, ready }) => ({ image, size, ready })),
      vms: [...vms.values()].filter(({ status }) => status.state === 'running').map((vm) => usageOf(vm, atMs)),
    };
  });
  return entries;
}

/** A quarter of a CPU, and a kilobyte each millisecond in. */
function usageOf({ id, name, status }: Vm, atMs: number): VmUsage {
  return {
    id,
    name,
    state: status.state,
    cpuMs: atMs / 4,
    pssBytes: 20 * 2 ** 20,
    privateBytes: 18 * 2 ** 20,
    sharedBytes: 40 * 2 ** 20,
    diskReadBytes: 0,
    diskWrittenBytes: 0,
    receivedBytes: Math.round(atMs) * 1024,
    sentBytes: 0,
  };
}
