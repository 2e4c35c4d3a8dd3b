import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { SkerryError } from '@skerry/api/base';

/** This user's daemon as a service of systemd: it is started as one, so that it has the unit's settings and outlives a login. */

export const UNIT = 'skerryd.service';
const STDERR_MAX_BYTES = 4096;

type Env = Readonly<Record<string, string | undefined>>;

/** Where administrators' units are, and packages' (systemd.unit(5)). */
const SYSTEM_UNITS = ['/etc/systemd/system', '/usr/lib/systemd/system', '/lib/systemd/system'];

/**
 * Which of systemd's managers has a unit for the daemon that this user's commands mean; undefined: none, or systemd does not
 * run. @param root of the file system, for tests
 */
export function unitScope(
  env: Env = process.env,
  uid: number = process.getuid?.() ?? 0,
  root = '/',
): 'system' | 'user' | undefined {
  // Somebody's own directories are another daemon than the unit's.
  if (env['SKERRY_DATA_DIR'] || env['SKERRY_RUNTIME_DIR']) return undefined;
  const isThere = (...path: string[]): boolean => existsSync(join(root, ...path));
  // sd_booted(3)
  if (!isThere('/run/systemd/system')) return undefined;
  if (uid === 0) return SYSTEM_UNITS.some((dir) => isThere(dir, UNIT)) ? 'system' : undefined;
  const runtime = env['XDG_RUNTIME_DIR'];
  if (!runtime || !isThere(runtime, 'systemd')) return undefined;
  const config = env['XDG_CONFIG_HOME'] || join(env['HOME'] ?? '/', '.config');
  return isThere(config, 'systemd/user', UNIT) ? 'user' : undefined;
}

/** Returns when systemd has started its process, which does not answer yet. @throws SkerryError `unavailable` */
export async function startUnit(scope: 'system' | 'user', signal: AbortSignal | undefined): Promise<void> {
  const asUser = scope === 'user' ? ['--user'] : [];
  const child = spawn('systemctl', [...asUser, 'start', UNIT], {
    stdio: ['ignore', 'ignore', 'pipe'],
    ...(signal === undefined ? {} : { signal }),
  });
  let said = '';
  child.stderr.on('data', (data: Buffer) => (said = (said + data.toString()).slice(-STDERR_MAX_BYTES)));
  const exitCode = await new Promise<number | null>((resolve) => {
    child.once('error', (error) => {
      said = error.message;
      resolve(null);
    });
    child.once('close', resolve);
  });
  signal?.throwIfAborted();
  if (exitCode === 0) return;
  throw new SkerryError('unavailable', `systemd does not start ${UNIT}: ${said.trim()}`, { remedy: unitRemedy(scope) });
}

export function unitRemedy(scope: 'system' | 'user'): string {
  const asUser = scope === 'user' ? '--user ' : '';
  return `See \`systemctl ${asUser}status ${UNIT}\` and \`skerry daemon logs\`.`;
}

/** Prints what the unit's processes have said; `follow`: until the signal. @throws what the signal, or spawn(2), throws */
export async function printUnitLog(scope: 'system' | 'user', follow: boolean, signal: AbortSignal): Promise<void> {
  const asUser = scope === 'user' ? ['--user'] : [];
  const args = [...asUser, '--unit', UNIT, '--output', 'cat', '--no-pager', ...(follow ? ['--follow'] : [])];
  await once(spawn('journalctl', args, { stdio: ['ignore', 'inherit', 'inherit'], signal }), 'close');
}
