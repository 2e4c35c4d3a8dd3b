import { open, watch } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { OPERATIONS } from '@skerry/api';
import { withoutStamps } from '@skerry/engine';
import type { FastifyInstance } from 'fastify';
import type { Platform } from '../platform.ts';
import { closedSignal, routePath } from './routes.ts';

/** A log file that QEMU appends to, from its beginning and, if wanted, on. */

const CHUNK_BYTES = 64 * 1024;

export function logRoutes(app: FastifyInstance, { vms, controller }: Platform): void {
  app.get(routePath('vm.logs'), async (request, reply) => {
    const { follow } = OPERATIONS['vm.logs'].query.parse(request.query);
    const vm = await vms.get((request.params as { vm: string }).vm);
    const path = join(controller.dirs(vm.id).dir, 'service.log');
    const chunks = withoutStamps(readLog(path, follow ? closedSignal(reply) : undefined));
    return reply.type('text/plain; charset=utf-8').send(Readable.from(chunks, { objectMode: false }));
  });
}

/** Ends at the file's end, or with the signal when it is to be followed. A file that was cut is read from its start. */
export async function* readLog(path: string, follow: AbortSignal | undefined, fromByte = 0): AsyncGenerator<Buffer> {
  let position = fromByte;
  for await (const _ of changes(path, follow)) {
    let file;
    try {
      file = await open(path, 'r');
    } catch {
      continue; // Not written yet.
    }
    try {
      if ((await file.stat()).size < position) position = 0;
      for (;;) {
        const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(CHUNK_BYTES), 0, CHUNK_BYTES, position);
        if (bytesRead === 0) break;
        position += bytesRead;
        yield buffer.subarray(0, bytesRead);
      }
    } finally {
      await file.close();
    }
  }
}

/** Once now, then at each change of the file. */
async function* changes(path: string, follow: AbortSignal | undefined): AsyncGenerator<void> {
  if (follow === undefined) {
    yield;
    return;
  }
  // Before the first read, so that nothing that comes between is missed; on the directory, for the file may not be there.
  const watcher = watch(join(path, '..'), { signal: follow });
  try {
    yield;
    for await (const _ of watcher) yield;
  } catch (error) {
    if (!follow.aborted) throw error;
  }
}
