import { ImageBuild, NodeUp, OPERATIONS, SkerryError, VmCreate, type DaemonInfo } from '@skerry/api';
import { refOf, specOf, type TaskContext } from '@skerry/engine';
import type { FastifyRequest } from 'fastify';
import type { Platform } from '../platform.ts';
import { closedSignal, workOf, type Handlers, type Params, type TaskPlan } from './routes.ts';
import { selected } from './selection.ts';

/** Operations that answer with JSON: at once, or with the task that does the work. */

export interface DaemonFacts {
  readonly version: string;
  info(): Promise<DaemonInfo>;
  stop(): void;
}

export function jsonHandlers(platform: Platform, facts: DaemonFacts): Handlers {
  const { vms, nodes, images, tasks, events, host, usage } = platform;

  const answers: Handlers['answers'] = {
    'daemon.info': () => facts.info(),
    'daemon.stop': () => {
      facts.stop();
      return {};
    },
    'host.info': () => host.info(),
    'host.doctor': () => host.doctor(),
    'host.usage': () => usage.usage(),
    'vm.list': async (request) => selected(await vms.list(), request),
    'vm.get': (_, { vm = '' }) => vms.get(vm),
    'vm.wait': async (request, { vm = '' }, reply) => {
      const { condition, timeoutMs } = OPERATIONS['vm.wait'].body.parse(request.body ?? {});
      const found = await vms.get(vm);
      return vms.wait(found.id, condition, timeoutMs, { signal: closedSignal(reply) });
    },
    'node.list': async (request) => selected(await nodes.list(), request),
    'node.get': (_, { node = '' }) => nodes.get(node),
    'node.plan': (request) => nodes.plan(NodeUp.parse(request.body)),
    'image.list': () => images.list(),
    'image.get': (_, { image = '' }) => images.get(image),
    'task.list': () => tasks.list(),
    'task.get': (_, { task = '' }) => tasks.get(task),
    'task.log': (_, { task = '' }) => tasks.log(task),
    'task.cancel': (_, { task = '' }) => tasks.cancel(task),
    'event.list': (request) => {
      const { after, limit } = OPERATIONS['event.list'].query.parse(request.query);
      return events.list({ limit, ...(after === 0 ? {} : { after }) });
    },
  };

  /** A verb on one VM. */
  const verb =
    (name: string, run: (id: string, context: TaskContext, body: unknown) => Promise<unknown>) =>
    async (request: FastifyRequest, params: Params): Promise<TaskPlan> => {
      const vm = await vms.get(params['vm'] ?? '');
      return {
        description: `${name} ${vm.name}`,
        target: refOf(vm),
        run: (context) => run(vm.id, context, request.body ?? {}),
      };
    };

  const works: Handlers['works'] = {
    'vm.create': async (request) => {
      const input = VmCreate.parse(request.body);
      await host.profile(); // without a hypervisor nothing is begun
      if ((await vms.find(input.name)) !== undefined) {
        throw new SkerryError('conflict', `There is a VM '${input.name}' already`, {
          remedy: `Choose another name, or delete it: \`skerry delete ${input.name}\`.`,
        });
      }
      const spec = specOf(input.ssh ? { ...input, image: await images.withSsh(input.image) } : input);
      await vms.assertSecrets(spec);
      return {
        description: `Create ${input.name}`,
        run: async (context) => {
          const work = workOf(context);
          const { name, title, labels, start } = input;
          const vm = await vms.create({ name, title, labels, spec, starts: start }, work);
          if (!start) return vm;
          try {
            return await vms.start(vm.id, work);
          } catch (error) {
            // One call made it, so one failure takes it back.
            await vms.delete(vm.id, { force: true }, {});
            throw error;
          }
        },
      };
    },
    'vm.stop': verb('Stop', (id, context, body) =>
      vms.stop(id, workOf(context), OPERATIONS['vm.stop'].body.parse(body)),
    ),
    'vm.restart': verb('Restart', (id, context) => vms.restart(id, workOf(context))),
    'vm.pause': verb('Pause', (id, context) => vms.pause(id, workOf(context))),
    'vm.resume': verb('Resume', (id, context) => vms.resume(id, workOf(context))),
    'vm.kill': verb('Kill', (id, context) => vms.kill(id, workOf(context))),
    'vm.delete': async (request, params) => {
      const { force } = OPERATIONS['vm.delete'].query.parse(request.query);
      const vm = await vms.get(params['vm'] ?? '');
      return {
        description: `Delete ${vm.name}`,
        target: refOf(vm),
        run: async (context) => {
          await vms.delete(vm.id, { force }, workOf(context));
          return {};
        },
      };
    },
    'node.up': async (request) => {
      const wanted = NodeUp.parse(request.body);
      await host.profile();
      await nodes.plan(wanted);
      return { description: `Bring up ${wanted.name}`, run: (context) => nodes.up(wanted, workOf(context)) };
    },
    'node.down': async (_, { node = '' }) => {
      const found = await nodes.get(node);
      return {
        description: `Take down ${found.name}`,
        target: refOf(found),
        run: (context) => nodes.down(found.id, workOf(context)),
      };
    },
    'node.delete': async (request, { node = '' }) => {
      const { force } = OPERATIONS['node.delete'].query.parse(request.query);
      const found = await nodes.get(node);
      return {
        description: `Delete ${found.name}`,
        target: refOf(found),
        run: async (context) => {
          await nodes.delete(found.id, { force }, workOf(context));
          return {};
        },
      };
    },
    'image.build': async (request) => {
      const wanted = ImageBuild.parse(request.body);
      const name = wanted.name ?? (typeof wanted.target === 'string' ? wanted.target : wanted.target.name);
      return { description: `Build the image ${name}`, run: (context) => images.build(wanted, workOf(context)) };
    },
    'image.delete': async (_, { image = '' }) => ({
      description: `Delete the image ${image}`,
      run: async () => {
        await images.delete(image);
        return {};
      },
    }),
  };

  return { answers, works };
}
