import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { SkerryError } from '@skerry/api';
import { start } from '../hosts/index.ts';

/**
 * Runs `work` while holding a lock that all processes of this host honour: two daemons, or a daemon and a test run, do
 * not build the same thing twice. Node has no flock(2), so a child holds it; the child ends, and the lock with it, when
 * its standard input closes: also when this process is killed. The lock file stays (removing it would let two in).
 * @throws SkerryError `cancelled` while waiting
 */
export async function withLock<T>(
  path: string,
  options: { signal?: AbortSignal | undefined; onWait?: (() => void) | undefined },
  work: () => Promise<T>,
): Promise<T> {
  await mkdir(dirname(path), { recursive: true });
  options.signal?.throwIfAborted();
  const child = await start(['flock', '--exclusive', path, 'sh', '-c', 'echo locked; exec cat'], {
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  child.ref(); // Unlike a VM, it is waited for.
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
  try {
    await locked(child.stdout, ended, options);
    return await work();
  } finally {
    child.stdin?.destroy();
    // One that still waits for the lock does not read its standard input yet.
    if (child.pid !== undefined && child.exitCode === null) killGroup(child.pid);
    await ended;
  }
}

function locked(
  stdout: NodeJS.ReadableStream | null,
  ended: Promise<void>,
  options: { signal?: AbortSignal | undefined; onWait?: (() => void) | undefined },
): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const waiting = setTimeout(() => options.onWait?.(), 200);
  const onAbort = (): void => reject(new SkerryError('cancelled', 'Cancelled while waiting for another build'));
  options.signal?.addEventListener('abort', onAbort, { once: true });
  stdout?.once('data', () => resolve());
  void ended.then(() =>
    reject(
      new SkerryError('failed', 'The build lock could not be taken', {
        remedy: 'Check the rights of the cache directory.',
      }),
    ),
  );
  return promise.finally(() => {
    clearTimeout(waiting);
    options.signal?.removeEventListener('abort', onAbort);
  });
}

function killGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGTERM');
  } catch {
    // It has ended by itself.
  }
}
