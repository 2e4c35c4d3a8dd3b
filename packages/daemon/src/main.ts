import { chmod, readFile, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { pino } from 'pino';
import { SkerryError, type DaemonInfo } from '@skerry/api';
import { createServer } from './http/server.ts';
import { daemonPaths } from './paths.ts';
import { openPlatform } from './platform.ts';

/** skerryd: opens the platform, takes up what runs, and answers on its socket. VMs live on when it ends, however it ends. */

async function main(): Promise<void> {
  const log = pino({ base: { pid: process.pid } }, pino.destination({ fd: 1, sync: false }));
  const startedAt = new Date().toISOString();
  const manifest = JSON.parse(await readFile(new URL('../package.json', import.meta.url), 'utf8')) as {
    version: string;
  };
  const paths = await daemonPaths();
  if (await answers(paths.socketPath)) {
    throw new SkerryError('in-use', `Another daemon answers on ${paths.socketPath}`, {
      remedy: 'See `skerry daemon status`.',
    });
  }
  // The store's lock is what keeps a second daemon out; the socket of one that died is only a name.
  const platform = await openPlatform({ paths, log: (level, message, details) => log[level](details ?? {}, message) });
  process.on('unhandledRejection', (error) => log.error({ error }, 'unhandled rejection'));
  const adoption = await platform.recover();
  log.info({ ...adoption }, 'recovered');

  const stopping = Promise.withResolvers<string>();
  const server = await createServer(platform, {
    version: manifest.version,
    stop: () => setImmediate(() => stopping.resolve('asked')),
    async info(): Promise<DaemonInfo> {
      const vms = await platform.vms.list();
      return {
        version: manifest.version,
        apiVersion: 'v1',
        pid: process.pid,
        startedAt,
        instance: paths.instance,
        dataDir: paths.dataDir,
        socketPath: paths.socketPath,
        vms: { total: vms.length, running: vms.filter((vm) => vm.status.state === 'running').length },
        adoption,
        rssBytes: process.memoryUsage.rss(),
      };
    },
  });
  await rm(paths.socketPath, { force: true });
  await server.listen({ path: paths.socketPath });
  await chmod(paths.socketPath, 0o600);
  log.info({ socket: paths.socketPath }, 'listening');
  // The first start shall not wait for what can be known before.
  platform.host.facts().catch((error: unknown) => log.warn({ error }, 'probe failed'));

  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => stopping.resolve(signal));
  log.info({ why: await stopping.promise }, 'stopping');
  await rm(paths.socketPath, { force: true });
  await Promise.race([server.close(), new Promise((resolve) => setTimeout(resolve, 2000).unref())]);
  await platform.close();
  process.exit(0);
}

function answers(socketPath: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(socketPath);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

main().catch((error: unknown) => {
  const problem = SkerryError.from(error);
  process.stderr.write(`skerryd: ${problem.message}\n${problem.remedy === undefined ? '' : `  ${problem.remedy}\n`}`);
  process.exit(problem.exitCode);
});
