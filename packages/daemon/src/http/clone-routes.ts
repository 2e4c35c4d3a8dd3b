import {
  OPERATIONS,
  PoolSet,
  TemplateBuild,
  TemplatePrune,
  VmFork,
  type Node,
  type NodeSave,
  type Pool,
  type Template,
  type TemplatePolicy,
  type Vm,
} from '@skerry/api';
import { refOf } from '@skerry/engine';
import { workOf, type Handlers } from './routes.ts';

/** Operations about starting from memory: templates, pools, forks, saves. */

type Work = ReturnType<typeof workOf>;
type MaybePromise<T> = T | Promise<T>;

/** What the platform has to have for them. `ref` is what a caller named it by; ids are ours. */
export interface ClonePlatform {
  readonly vms: {
    get(ref: string): Promise<Vm>;
    start(id: string, work: Work, options: { readonly discardMemory: boolean }): Promise<Vm>;
    suspend(id: string, work: Work): Promise<Vm>;
  };
  readonly nodes: { get(ref: string): Promise<Node> };
  readonly templates: {
    list(): MaybePromise<readonly Template[]>;
    get(ref: string): MaybePromise<Template>;
    build(wanted: TemplateBuild, work: Work): Promise<Template>;
    delete(ref: string, work: Work): Promise<void>;
    prune(which: { readonly unusedForMs: number }, work: Work): Promise<{ deleted: string[]; freedBytes: number }>;
    setPolicy(image: string, policy: TemplatePolicy): Promise<{ image: string; policy: TemplatePolicy }>;
  };
  readonly forks: { fork(vmId: string, wanted: VmFork, work: Work): Promise<readonly Vm[]> };
  readonly nodeCopies?: {
    fork(nodeId: string, wanted: { readonly name: string }, work: Work): Promise<Node>;
    save(nodeId: string, wanted: { readonly name: string }, work: Work): Promise<NodeSave>;
    saves(nodeId: string): MaybePromise<readonly NodeSave[]>;
    restore(nodeId: string, save: string, work: Work): Promise<Node>;
    deleteSave(nodeId: string, save: string, work: Work): Promise<void>;
  };
  readonly pools?: {
    list(): MaybePromise<readonly Pool[]>;
    set(image: string, wanted: PoolSet): Promise<Pool>;
  };
}

export function cloneHandlers({ vms, nodes, templates, forks, nodeCopies, pools }: ClonePlatform): Handlers {
  const answers: Handlers['answers'] = {
    'template.list': () => templates.list(),
    'template.get': (_, { template = '' }) => templates.get(template),
    'template.policy': (request, { image = '' }) =>
      templates.setPolicy(image, OPERATIONS['template.policy'].body.parse(request.body).policy),
    ...(nodeCopies === undefined
      ? {}
      : { 'node.saves': async (_, { node = '' }) => nodeCopies.saves((await nodes.get(node)).id) }),
    ...(pools === undefined
      ? {}
      : {
          'pool.list': () => pools.list(),
          'pool.set': (request, { image = '' }) => pools.set(image, PoolSet.parse(request.body)),
        }),
  };

  const works: Handlers['works'] = {
    'template.build': async (request) => {
      const wanted = TemplateBuild.parse(request.body ?? {});
      return {
        description: `Build a template for ${wanted.image}`,
        run: (context) => templates.build(wanted, workOf(context)),
      };
    },
    'template.delete': async (_, { template = '' }) => {
      const { id } = await templates.get(template);
      return {
        description: `Delete the template ${id}`,
        run: async (context) => {
          await templates.delete(id, workOf(context));
          return {};
        },
      };
    },
    'template.prune': async (request) => {
      const which = TemplatePrune.parse(request.body ?? {});
      return { description: 'Prune templates', run: (context) => templates.prune(which, workOf(context)) };
    },
    'vm.start': async (request, params) => {
      const { discardMemory } = OPERATIONS['vm.start'].query.parse(request.query);
      const vm = await vms.get(params['vm'] ?? '');
      return {
        description: `Start ${vm.name}`,
        target: refOf(vm),
        run: (context) => vms.start(vm.id, workOf(context), { discardMemory }),
      };
    },
    'vm.suspend': async (_, params) => {
      const vm = await vms.get(params['vm'] ?? '');
      return {
        description: `Suspend ${vm.name}`,
        target: refOf(vm),
        run: (context) => vms.suspend(vm.id, workOf(context)),
      };
    },
    'vm.fork': async (request, params) => {
      const wanted = VmFork.parse(request.body);
      const vm = await vms.get(params['vm'] ?? '');
      return {
        description: `Fork ${vm.name}`,
        target: refOf(vm),
        run: (context) => forks.fork(vm.id, wanted, workOf(context)),
      };
    },
    ...(nodeCopies === undefined ? {} : copyWorks(nodes, nodeCopies)),
  };
  return { answers, works };
}

function copyWorks(
  nodes: ClonePlatform['nodes'],
  nodeCopies: NonNullable<ClonePlatform['nodeCopies']>,
): Handlers['works'] {
  return {
    'node.fork': async (request, params) => {
      const wanted = OPERATIONS['node.fork'].body.parse(request.body);
      const node = await nodes.get(params['node'] ?? '');
      return {
        description: `Fork the node ${node.name}`,
        target: refOf(node),
        run: (context) => nodeCopies.fork(node.id, wanted, workOf(context)),
      };
    },
    'node.save': async (request, params) => {
      const wanted = OPERATIONS['node.save'].body.parse(request.body);
      const node = await nodes.get(params['node'] ?? '');
      return {
        description: `Save the node ${node.name} as ${wanted.name}`,
        target: refOf(node),
        run: (context) => nodeCopies.save(node.id, wanted, workOf(context)),
      };
    },
    'node.restore': async (request, params) => {
      const { save } = OPERATIONS['node.restore'].body.parse(request.body);
      const node = await nodes.get(params['node'] ?? '');
      return {
        description: `Restore the node ${node.name} to ${save}`,
        target: refOf(node),
        run: (context) => nodeCopies.restore(node.id, save, workOf(context)),
      };
    },
    'node.save.delete': async (_, { node: ref = '', save = '' }) => {
      const node = await nodes.get(ref);
      return {
        description: `Delete the save ${save} of ${node.name}`,
        target: refOf(node),
        run: async (context) => {
          await nodeCopies.deleteSave(node.id, save, workOf(context));
          return {};
        },
      };
    },
  };
}
