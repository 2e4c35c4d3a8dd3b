import { readFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { SkerryError } from '@skerry/api';
import type { WebSocket } from '@fastify/websocket';
import type { FastifyInstance } from 'fastify';
import type { Platform } from '../platform.ts';
import { routePath } from './routes.ts';
import { finish, problemOf } from './problems.ts';

/** The serial console: what was on it, then what comes, and keys the other way. */

const PAST_BYTES = 256 * 1024;
const HIGH_WATER_BYTES = 1024 * 1024;

export function consoleRoutes(app: FastifyInstance, platform: Platform): void {
  app.get(routePath('vm.console'), { websocket: true }, (socket, request) => {
    const { vm } = request.params as { vm: string };
    serve(socket, platform, vm).catch((error: unknown) =>
      finish(socket, { type: 'error', error: problemOf(error).toBody() }),
    );
  });
}

async function serve(socket: WebSocket, { vms, controller }: Platform, ref: string): Promise<void> {
  const vm = await vms.get(ref);
  const log = join(controller.dirs(vm.id).dir, 'console.log');
  const live = controller.live(vm.id);
  if (live === undefined) {
    socket.send(await past(log), { binary: true });
    throw new SkerryError('wrong-state', `${vm.name} is ${vm.status.state}: this was its last output`, {
      remedy: `Type \`skerry start ${vm.name}\`.`,
    });
  }
  const line = connect(live.machine.sockets.console);
  line.on('error', () => socket.close());
  socket.once('close', () => line.destroy());
  line.once('close', () => socket.close());
  await new Promise<void>((resolve) => line.once('connect', resolve));
  // QEMU writes to the log and to us: what it wrote before we came is only there.
  socket.send(await past(log), { binary: true });
  line.on('data', (data) => {
    socket.send(data, { binary: true }, () => {
      if (line.isPaused() && socket.bufferedAmount < HIGH_WATER_BYTES) line.resume();
    });
    if (socket.bufferedAmount >= HIGH_WATER_BYTES) line.pause();
  });
  socket.on('message', (data: Buffer) => line.write(data));
}

async function past(path: string): Promise<Buffer> {
  const all = await readFile(path).catch(() => Buffer.alloc(0));
  return all.subarray(-PAST_BYTES);
}
