import { Readable } from 'node:stream';
import { OPERATIONS } from '@skerry/api';
import type { FastifyInstance, FastifyReply } from 'fastify';
import type { Platform } from '../platform.ts';
import { closedSignal, routePath } from './routes.ts';

/** Operations that go on answering: a JSON value a line, until they end or the caller leaves. */
export function streamRoutes(app: FastifyInstance, { tasks, events }: Platform): void {
  app.get(routePath('task.watch'), async (request, reply) => {
    const { task } = request.params as { task: string };
    await tasks.get(task);
    return sendLines(reply, (signal) => tasks.watch(task, signal));
  });
  app.get(routePath('event.follow'), async (request, reply) => {
    const { after } = OPERATIONS['event.follow'].query.parse(request.query);
    return sendLines(reply, (signal) =>
      events.follow({ signal, ...(after === undefined ? {} : { fromId: after + 1 }) }),
    );
  });
}

/** @param open ends with its signal, which the caller's leaving aborts */
export function sendLines(reply: FastifyReply, open: (signal: AbortSignal) => AsyncIterable<unknown>): FastifyReply {
  const signal = closedSignal(reply);
  const lines = async function* (): AsyncGenerator<string> {
    try {
      for await (const value of open(signal)) yield `${JSON.stringify(value)}\n`;
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  };
  return reply.type('application/x-ndjson').send(Readable.from(lines(), { objectMode: true, highWaterMark: 16 }));
}
