import { ConnectRequest, SkerryError, type ConnectReply } from '@skerry/api';
import type { WebSocket } from '@fastify/websocket';
import { SshService, type AgentClient } from '@skerry/engine';
import type { FastifyInstance } from 'fastify';
import { once } from 'node:events';
import type { Readable, Writable } from 'node:stream';
import { finished } from 'node:stream/promises';
import type { Platform } from '../platform.ts';
import { passOn } from './back-pressure.ts';
import { routePath } from './routes.ts';
import { finish, problemOf } from './problems.ts';

/** Streams into a guest over a WebSocket (the messages are in the contract, `channels.ts`): through its agent, not its networks. */

/** A client that reads slower than the guest writes holds the guest, not our memory. */
const HIGH_WATER_BYTES = 1024 * 1024;
/** RFC 6455 section 7.4.1. */
const CLOSE_NORMAL = 1000;

export function connectRoutes(app: FastifyInstance, { vms }: Platform): void {
  const ssh = new SshService();
  app.get(routePath('vm.connect'), { websocket: true }, (socket, request) => {
    const { vm } = request.params as { vm: string };
    const gone = new AbortController();
    socket.once('close', () => gone.abort());
    socket.on('error', () => gone.abort());
    // Nothing else comes before our answer.
    socket.once('message', (message: Buffer) => {
      serve(socket, message, { vms, ssh }, vm, gone.signal).catch((error: unknown) => {
        if (!gone.signal.aborted) finish(socket, { type: 'error', error: problemOf(error).toBody() });
      });
    });
  });
}

/** Both directions, and what tells of the end of them, or of a failure. */
interface Tunnel {
  readonly hostKeys: readonly string[];
  readonly input: Writable;
  readonly output: Readable;
  readonly ended: Promise<unknown>;
}

async function serve(
  socket: WebSocket,
  first: Buffer,
  { vms, ssh }: { readonly vms: Platform['vms']; readonly ssh: SshService },
  ref: string,
  gone: AbortSignal,
): Promise<void> {
  const request = ConnectRequest.parse(JSON.parse(first.toString('utf8')));
  const vm = await vms.get(ref);
  const agent = await vms.agent(vm.id);
  const { hostKeys, input, output, ended } =
    request.to === 'ssh'
      ? await ssh.open(agent, vm, request, gone)
      : await openPort(agent, vm.name, request.port, gone);
  gone.throwIfAborted();
  socket.on('message', (data: Buffer) => {
    if (data.length === 0) input.end();
    else passOn(socket, input, data);
  });
  const open: ConnectReply = { type: 'open', hostKeys };
  socket.send(JSON.stringify(open));
  await Promise.all([pump(socket, output), ended]);
  socket.close(CLOSE_NORMAL);
}

async function openPort(agent: AgentClient, vm: string, port: number, gone: AbortSignal): Promise<Tunnel> {
  const guest = agent.forward(port, undefined, { signal: gone });
  await once(guest, 'connect').catch((error: unknown) => {
    throw nothingThere(vm, port, SkerryError.from(error));
  });
  const ended = finished(guest);
  ended.catch(() => undefined); // The output reports it too.
  return { hostKeys: [], input: guest, output: guest, ended };
}

/** asm-generic/errno.h */
const ECONNREFUSED = 111;

function nothingThere(vm: string, port: number, error: SkerryError): SkerryError {
  if (error.details?.['errno'] !== ECONNREFUSED) return error;
  return new SkerryError('unavailable', `Nothing listens on port ${port} of ${vm}`, {
    remedy: `See what does: \`skerry exec ${vm} -- netstat -ltn\`.`,
    cause: error,
  });
}

/** Resolves once all of it, and its end, has been handed to the socket. */
function pump(socket: WebSocket, source: Readable): Promise<void> {
  return new Promise((resolve, reject) => {
    source.on('data', (chunk: Buffer) => {
      socket.send(chunk, { binary: true }, () => {
        if (source.isPaused() && socket.bufferedAmount < HIGH_WATER_BYTES) source.resume();
      });
      if (socket.bufferedAmount >= HIGH_WATER_BYTES) source.pause();
    });
    source.once('end', () => socket.send(Buffer.alloc(0), { binary: true }, () => resolve()));
    source.once('error', reject);
  });
}
