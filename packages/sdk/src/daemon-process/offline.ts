import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { type ErrorBody, SkerryError } from '@skerry/api/base';
import { daemonProgram } from './program.ts';

export interface OfflineOptions {
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((message: string, fraction?: number) => void) | undefined;
}

/**
 * Has the daemon's program do what is done while no daemon serves: `restore`, `upgrade-check`, `install`, `uninstall`. Aborted, it
 * takes back what it has begun.
 * @throws SkerryError
 */
export async function runOffline(verb: string, options: object, work: OfflineOptions = {}): Promise<unknown> {
  work.signal?.throwIfAborted();
  const child = spawn(process.execPath, [...daemonProgram('offline/main'), verb, JSON.stringify(options)], {
    cwd: '/',
    stdio: ['ignore', 'pipe', 'pipe'],
    // Ctrl-C is told by us, so that it can end in order.
    detached: true,
  });
  const onAbort = (): void => void child.kill('SIGTERM');
  work.signal?.addEventListener('abort', onAbort, { once: true });
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr = (stderr + text).slice(-4096)));
  const failed = new Promise<never>((_, reject) => child.once('error', reject));
  const last = async (): Promise<unknown> => {
    for await (const line of createInterface({ input: child.stdout })) {
      const said = JSON.parse(line) as { progress?: string; fraction?: number; error?: ErrorBody; result?: unknown };
      if (said.error !== undefined) throw SkerryError.fromBody(said.error);
      if (said.progress === undefined) return said.result;
      work.onProgress?.(said.progress, said.fraction);
    }
    throw new SkerryError('internal', `The daemon's program ended without an answer: ${stderr.trim()}`);
  };
  try {
    return await Promise.race([last(), failed]);
  } finally {
    work.signal?.removeEventListener('abort', onAbort);
  }
}
