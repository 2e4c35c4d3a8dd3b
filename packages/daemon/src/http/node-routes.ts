import { NodeLogQuery, NodeRestart, NodeScale, NodeUpdate, OPERATIONS, type Node } from '@skerry/api';
import { nameMatcher, refOf, type TaskContext } from '@skerry/engine';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Platform } from '../platform.ts';
import { nodeLogs } from './node-logs.ts';
import { routePath, workOf, type Handlers, type Params, type TaskPlan } from './routes.ts';
import { sendLines } from './streams.ts';

/** Operations of the daily work with nodes. */

export function nodeHandlers({ nodes, nodeVerbs, events }: Platform): Handlers {
  const answers: Handlers['answers'] = {
    'node.scale.plan': async (request, { node = '' }) =>
      nodeVerbs.planScale((await nodes.get(node)).id, NodeScale.parse(request.body)),
    'node.update.plan': async (request, { node = '' }) =>
      nodeVerbs.planUpdate((await nodes.get(node)).id, NodeUpdate.parse(request.body)),
    'node.events': async (request, { node = '' }) => {
      const { after, limit } = OPERATIONS['node.events'].query.parse(request.query);
      return events.list({ node: await nodes.get(node), limit, ...(after === 0 ? {} : { after }) });
    },
  };

  /** @param check refuses before there is a task what can be seen to be wrong */
  const verb =
    <B>(
      name: string,
      parse: (body: unknown) => B,
      check: (node: Node, body: B) => Promise<unknown>,
      run: (node: Node, body: B, context: TaskContext) => Promise<unknown>,
    ) =>
    async (request: FastifyRequest, { node: ref = '' }: Params): Promise<TaskPlan> => {
      const body = parse(request.body ?? {});
      const node = await nodes.get(ref);
      await check(node, body);
      return {
        description: `${name} ${node.name}`,
        target: refOf(node),
        run: (context) => run(node, body, context),
      };
    };

  const works: Handlers['works'] = {
    'node.scale': verb(
      'Scale',
      (body) => NodeScale.parse(body),
      ({ id }, wanted) => nodeVerbs.planScale(id, wanted),
      ({ id }, wanted, context) => nodeVerbs.scale(id, wanted, workOf(context)),
    ),
    'node.update': verb(
      'Update',
      (body) => NodeUpdate.parse(body),
      ({ id }, wanted) => nodeVerbs.planUpdate(id, wanted),
      ({ id }, wanted, context) => nodeVerbs.update(id, wanted, workOf(context)),
    ),
    'node.restart': verb(
      'Restart',
      (body) => NodeRestart.parse(body),
      async (node, { vms }) => nameMatcher(node, vms),
      ({ id }, wanted, context) => nodeVerbs.restart(id, wanted, workOf(context)),
    ),
  };
  return { answers, works };
}

export function nodeStreams(app: FastifyInstance, platform: Platform): void {
  const { nodes, events } = platform;
  app.get(routePath('node.logs'), async (request, reply) => {
    const query = NodeLogQuery.parse(request.query);
    const node = await nodes.get((request.params as { node: string }).node);
    nameMatcher(node, query.vms);
    return sendLines(reply, (signal) => nodeLogs(platform, node, query, signal));
  });
  app.get(routePath('node.events.follow'), async (request, reply) => {
    const { after } = OPERATIONS['node.events.follow'].query.parse(request.query);
    const node = await nodes.get((request.params as { node: string }).node);
    return sendLines(reply, (signal) =>
      events.follow({ node, signal, ...(after === undefined ? {} : { fromId: after + 1 }) }),
    );
  });
}
