import type { Endpoint } from './places.ts';
import type { OfflineOptions } from './offline.ts';
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
export type { OfflineOptions } from './offline.ts';
export type { EnsureOptions } from './start.ts';

/** Loaded only when it is called: `skerry list` with a running daemon never gets here. See start.ts. */
export async function ensureDaemon(options?: EnsureOptions): Promise<Endpoint> {
  return (await import('./start.ts')).ensureDaemon(options);
}

/** True when something accepts connections on the socket. */
export async function answers(socketPath: string): Promise<boolean> {
  return (await import('./start.ts')).answers(socketPath);
}

/** Arguments with which Node runs the daemon. See program.ts. */
export async function daemonProgram(name: 'main' | 'offline/main'): Promise<string[]> {
  return (await import('./program.ts')).daemonProgram(name);
}

/** Restores and the like, without a daemon. See offline.ts. */
export async function runOffline(verb: string, options: object, work?: OfflineOptions): Promise<unknown> {
  return (await import('./offline.ts')).runOffline(verb, options, work);
}

/** Prints the daemon's log, if a unit of systemd runs it. @returns whether one does. See unit.ts. */
export async function printUnitLog(follow: boolean, signal: AbortSignal): Promise<boolean> {
  const unit = await import('./unit.ts');
  const scope = unit.unitScope();
  if (scope !== undefined) await unit.printUnitLog(scope, follow, signal);
  return scope !== undefined;
}
