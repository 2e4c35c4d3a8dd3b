import { API_PREFIX, OPERATIONS, SkerryError, type OperationId, type ResourceRef, type Task } from '@skerry/api';
import type { TaskContext, TaskService } from '@skerry/engine';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';

/** From tables of handlers to routes, where the contract says they are. */

export type Params = Readonly<Record<string, string>>;
export type Handler = (request: FastifyRequest, params: Params, reply: FastifyReply) => unknown;

export interface TaskPlan {
  readonly description: string;
  readonly target?: ResourceRef;
  readonly run: (context: TaskContext) => Promise<unknown>;
}

/** Operations by what they answer with. */
export interface Handlers {
  /** A result, at once. */
  readonly answers: Partial<Record<OperationId, Handler>>;
  /** The task that does the work. What can be seen to be wrong now is refused now, before there is a task. */
  readonly works: Partial<Record<OperationId, (request: FastifyRequest, params: Params) => Promise<TaskPlan>>>;
}

export function serve(app: FastifyInstance, tasks: TaskService, { answers, works }: Handlers): void {
  for (const [id, handler] of Object.entries(answers)) {
    route(app, id as OperationId, async (request, params, reply) => handler(request, params, reply));
  }
  for (const [id, plan] of Object.entries(works)) {
    route(app, id as OperationId, async (request, params): Promise<Task> => {
      const { description, target, run } = await plan(request, params);
      return tasks.start({ kind: id, description, run, ...(target === undefined ? {} : { target }) });
    });
  }
}

/**
 * Every operation of the contract that has no handler yet, once all others are registered: a client that knows the
 * contract learns that this daemon can't do it, not that there is no such thing.
 */
export function refuseTheRest(app: FastifyInstance): void {
  for (const id of Object.keys(OPERATIONS) as OperationId[]) {
    if (app.hasRoute({ method: OPERATIONS[id].method, url: API_PREFIX + routePath(id) })) continue;
    route(app, id, () => {
      throw new SkerryError('unsupported', `This daemon does not know how to do ${id}`, {
        remedy: 'Update it, then restart it: `skerry daemon stop`, then `skerry daemon start`. VMs go on meanwhile.',
        details: { operation: id },
      });
    });
  }
}

/** Registers one operation where the contract says it is. */
function route(app: FastifyInstance, id: OperationId, handler: Handler): void {
  const { method, kind } = OPERATIONS[id];
  app.route({
    method,
    url: routePath(id),
    handler: async (request, reply) => {
      const result = await handler(request, request.params as Params, reply);
      return reply.code(kind === 'task' ? 202 : 200).send(result);
    },
  });
}

/** '/vms/{vm}' as the router wants it, without the prefix of the scope. */
export function routePath(id: OperationId): string {
  return OPERATIONS[id].path.replace(/\{(\w+)\}/g, ':$1');
}

/** Aborted when the caller goes away. */
export function closedSignal(reply: FastifyReply): AbortSignal {
  const closed = new AbortController();
  // Of the answer, not of the connection: that is kept for the next request.
  reply.raw.once('close', () => closed.abort());
  return closed.signal;
}

/** Progress and cancellation of a task, as the engine takes them. */
export function workOf(context: TaskContext) {
  return {
    signal: context.signal,
    onProgress: (message: string, fraction?: number) => {
      context.progress(message, fraction);
      context.log(message);
    },
  };
}
