import type { Endpoint } from './places.ts';
import type { EnsureOptions } from './start.ts';

export {
  daemonLogPath,
  dataDir,
  distrust,
  findEndpoint,
  runtimeDir,
  SYSTEM_RUNTIME_DIR,
  type Endpoint,
} from './places.ts';
export type { EnsureOptions } from './start.ts';

/** Loaded only when it is called: `skerry list` with a running daemon never gets here. See start.ts. */
export async function ensureDaemon(options?: EnsureOptions): Promise<Endpoint> {
  return (await import('./start.ts')).ensureDaemon(options);
}

/** True when something accepts connections on the socket. */
export async function answers(socketPath: string): Promise<boolean> {
  return (await import('./start.ts')).answers(socketPath);
}
