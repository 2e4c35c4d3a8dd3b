import { GuestPath, OPERATIONS, SHA256_TRAILER, SkerryError, type FileDigest, type FileEntry } from '@skerry/api';
import type { FastifyInstance } from 'fastify';
import { Readable } from 'node:stream';
import type { Platform } from '../platform.ts';
import { closedSignal, routePath } from './routes.ts';

/** Files of a guest, streamed: nothing is held in memory but what is under way. */
export function fileRoutes(app: FastifyInstance, { vms }: Platform): void {
  app.put(routePath('vm.file.put'), async (request, reply): Promise<FileDigest> => {
    const { path, mode } = OPERATIONS['vm.file.put'].query.parse(request.query);
    const agent = await vms.agent(vmOf(request.params));
    const body = request.body instanceof Readable ? request.body : Readable.from([]);
    return agent.put(guestPath(path), body, {
      signal: closedSignal(reply),
      ...(mode === undefined ? {} : { mode: Number.parseInt(mode, 8) }),
    });
  });

  app.get(routePath('vm.file.get'), async (request, reply) => {
    const { path } = OPERATIONS['vm.file.get'].query.parse(request.query);
    const agent = await vms.agent(vmOf(request.params));
    const { type, name } = await agent.stat(guestPath(path));
    if (type === 'directory') {
      throw new SkerryError('invalid', `${name} is a directory`, { remedy: 'Copy it with -r.' });
    }
    const { body, done } = agent.get(path, { signal: closedSignal(reply) });
    done.catch(() => undefined); // The body reports it too, which ends the connection.
    return reply
      .type('application/octet-stream')
      .trailer(SHA256_TRAILER, async () => (await done).sha256)
      .send(body);
  });

  app.get(routePath('vm.file.stat'), async (request): Promise<FileEntry> => {
    const { path } = OPERATIONS['vm.file.stat'].query.parse(request.query);
    return (await vms.agent(vmOf(request.params))).stat(guestPath(path));
  });

  app.get(routePath('vm.file.list'), async (request): Promise<FileEntry[]> => {
    const { path } = OPERATIONS['vm.file.list'].query.parse(request.query);
    return (await vms.agent(vmOf(request.params))).list(guestPath(path));
  });
}

function vmOf(params: unknown): string {
  return (params as { vm: string }).vm;
}

function guestPath(path: string): string {
  const parsed = GuestPath.safeParse(path);
  // '/root/' and '/root' are one directory; what is no directory says so itself.
  if (parsed.success) return parsed.data.replace(/(?<=.)\/+$/, '');
  throw new SkerryError('invalid', `'${path}' is no path in a guest`, {
    remedy: 'Write an absolute path, such as VM:/root/file.',
  });
}
