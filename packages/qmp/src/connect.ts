import { connect } from 'node:net';
import type { Duplex } from 'node:stream';
import { SkerryError } from '@skerry/api';

/** How long, and until when. */
export interface WaitOptions {
  /** Default: 10 s to connect, 30 s for a command. */
  readonly timeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Settles as `promise` does, or rejects when the time is over or the signal aborts, whichever comes first.
 * @throws SkerryError `timeout`, `cancelled`
 */
export function within<T>(promise: Promise<T>, what: string, timeoutMs: number, signal?: AbortSignal): Promise<T> {
  const { promise: limited, resolve, reject } = Promise.withResolvers<T>();
  const cancel = (): void => reject(new SkerryError('cancelled', `Cancelled: ${what}`, { cause: signal?.reason }));
  const timer = setTimeout(() => {
    const remedy = 'The process may hang or the host may be overloaded: see `skerry host doctor`.';
    reject(new SkerryError('timeout', `${what} took longer than ${timeoutMs} ms`, { remedy }));
  }, timeoutMs);
  if (signal?.aborted === true) cancel();
  signal?.addEventListener('abort', cancel, { once: true });
  promise.then(resolve, reject);
  return limited.finally(() => {
    clearTimeout(timer);
    signal?.removeEventListener('abort', cancel);
  });
}

/** @throws SkerryError `unavailable` when nobody listens, `timeout`, `cancelled` */
export async function connectSocket(path: string, timeoutMs: number, signal?: AbortSignal): Promise<Duplex> {
  const socket = connect({ path });
  const connected = new Promise<void>((resolve, reject) => {
    socket.once('connect', resolve);
    socket.once('error', (error) => {
      const remedy = 'The virtual machine has ended, or was started by another program.';
      reject(new SkerryError('unavailable', `No QEMU answers at ${path}: ${error.message}`, { remedy, cause: error }));
    });
  });
  try {
    await within(connected, `connecting to ${path}`, timeoutMs, signal);
    return socket;
  } catch (error) {
    socket.destroy();
    throw error;
  }
}
