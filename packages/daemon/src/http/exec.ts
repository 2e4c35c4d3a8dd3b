import { CHANNEL_STDERR, CHANNEL_STDIN, CHANNEL_STDOUT, ExecControl, ExecRequest } from '@skerry/api';
import type { WebSocket } from '@fastify/websocket';
import type { AgentProcess } from '@skerry/engine';
import type { FastifyInstance } from 'fastify';
import type { Readable } from 'node:stream';
import type { Platform } from '../platform.ts';
import { passOn } from './back-pressure.ts';
import { routePath } from './routes.ts';
import { finish, problemOf } from './problems.ts';

/** Commands in a guest over a WebSocket (the messages are in the contract, `streams.ts`). */

/** A client that reads slower than the guest writes holds the guest, not our memory. */
const HIGH_WATER_BYTES = 1024 * 1024;

export function execRoutes(app: FastifyInstance, { vms }: Platform): void {
  app.get(routePath('vm.exec'), { websocket: true }, (socket, request) => {
    const { vm } = request.params as { vm: string };
    const gone = new AbortController();
    socket.once('close', () => gone.abort());
    socket.on('error', () => gone.abort());
    socket.once('message', (message: Buffer) => {
      serve(socket, message, vms, vm, gone.signal).catch(async (error: unknown) => {
        if (gone.signal.aborted) return;
        const why = await vms.whyLost(vm, error).catch(() => error);
        finish(socket, { type: 'error', error: problemOf(why).toBody() });
      });
    });
  });
}

async function serve(
  socket: WebSocket,
  first: Buffer,
  vms: Platform['vms'],
  vm: string,
  gone: AbortSignal,
): Promise<void> {
  // What comes while the agent is looked up belongs to the command, too.
  const early: Array<[Buffer, boolean]> = [];
  const keep = (data: Buffer, isBinary: boolean): void => void early.push([data, isBinary]);
  socket.on('message', keep);
  const request = ExecRequest.parse(JSON.parse(first.toString('utf8')));
  const agent = await vms.agent(vm);
  gone.throwIfAborted();
  const child = agent.exec(request, { signal: gone });
  socket.off('message', keep);
  const take = (data: Buffer, isBinary: boolean): void => {
    if (isBinary) feed(socket, child, data);
    else control(child, data);
  };
  for (const [data, isBinary] of early) take(data, isBinary);
  socket.on('message', take);
  const outputs = [pump(socket, child.stdout, CHANNEL_STDOUT), pump(socket, child.stderr, CHANNEL_STDERR)];
  child.stdin.on('error', () => undefined); // The command ended without reading all of it.
  const { exitCode, signal } = await child.exited;
  await Promise.all(outputs);
  finish(socket, { type: 'exit', exitCode, signal });
}

function feed(socket: WebSocket, child: AgentProcess, data: Buffer): void {
  if (data[0] !== CHANNEL_STDIN) return;
  if (data.length === 1) {
    child.stdin.end();
    return;
  }
  passOn(socket, child.stdin, data.subarray(1));
}

function control(child: AgentProcess, data: Buffer): void {
  const message = ExecControl.parse(JSON.parse(data.toString('utf8')));
  if (message.type === 'resize') child.resize(message.size.cols, message.size.rows);
  else child.kill(message.signal);
}

/** Resolves once all of it has been handed to the socket. */
function pump(socket: WebSocket, source: Readable, channel: number): Promise<void> {
  return new Promise((resolve) => {
    source.on('data', (chunk: Buffer) => {
      const message = Buffer.allocUnsafe(chunk.length + 1);
      message[0] = channel;
      chunk.copy(message, 1);
      socket.send(message, { binary: true }, () => {
        if (source.isPaused() && socket.bufferedAmount < HIGH_WATER_BYTES) source.resume();
      });
      if (socket.bufferedAmount >= HIGH_WATER_BYTES) source.pause();
    });
    source.once('close', resolve);
    source.once('error', () => resolve());
  });
}
