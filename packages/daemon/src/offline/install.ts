import { mkdir, open, readFile, rename, rm, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, isAbsolute, join } from 'node:path';
import { SkerryError } from '@skerry/api';
import { run } from '@skerry/engine';
import { z } from 'zod';
import { UNIT_NAME, unitText } from './unit-plan.ts';

/** The daemon as a service of systemd: started with the host, or with its user's first login. */

export const InstallOptions = z.strictObject({
  /** Absent: the system's for root, else the user's. */
  scope: z.enum(['system', 'user']).optional(),
  /** Say what would be written, only. */
  dryRun: z.boolean().default(false),
  /** What systemd is to run. */
  argv: z.array(z.string()),
});
export type InstallOptions = z.infer<typeof InstallOptions>;

export interface Installed {
  readonly scope: 'system' | 'user';
  readonly path: string;
  readonly unit: string;
  /** `unchanged`: it was there, just so. */
  readonly state: 'written' | 'unchanged' | 'planned' | 'removed' | 'absent';
  /** Whether systemd runs, and so was told. */
  readonly systemd: boolean;
}

/** The daemon's own, as it was told by whoever installs it. */
const KEPT_ENV =
  /^(?:NODE_COMPILE_CACHE|SKERRY_(?:DATA_DIR|RUNTIME_DIR|CACHE_DIR|MEMORY_BUDGET|MEMORY_OVERCOMMIT|AGENT_TIMEOUT))$/;

/** @throws SkerryError `refused` (rights), `failed` (systemd does not start it; the unit stays) */
export async function install({ scope, dryRun, argv }: InstallOptions): Promise<Installed> {
  const where = scopeOf(scope);
  // In one order, so that the same settings give the same unit.
  const names = Object.keys(process.env).filter((name) => KEPT_ENV.test(name) && process.env[name] !== '');
  const env = Object.fromEntries(names.toSorted().map((name) => [name, process.env[name] ?? '']));
  const unit = unitText({ scope: where, argv, env });
  const path = unitPath(where);
  const systemd = await systemdRuns(where);
  if (dryRun) return { scope: where, path, unit, state: 'planned', systemd };
  assertRights(where, path);
  const before = await readFile(path, 'utf8').catch(() => undefined);
  if (before !== unit) await writeUnit(path, unit);
  if (systemd) {
    await systemctl(where, 'daemon-reload');
    await systemctl(where, 'enable', UNIT_NAME);
    await systemctl(where, before === unit || before === undefined ? 'start' : 'restart', UNIT_NAME);
  }
  return { scope: where, path, unit, state: before === unit ? 'unchanged' : 'written', systemd };
}

/** VMs go on. @throws SkerryError `refused` (rights) */
export async function uninstall({ scope }: Pick<InstallOptions, 'scope'>): Promise<Installed> {
  const where = scopeOf(scope);
  const path = unitPath(where);
  const systemd = await systemdRuns(where);
  assertRights(where, path);
  const unit = await readFile(path, 'utf8').catch(() => undefined);
  if (unit === undefined) return { scope: where, path, unit: '', state: 'absent', systemd };
  if (systemd) await systemctl(where, 'disable', '--now', UNIT_NAME);
  // Where systemd does not run, nobody else takes the link of an earlier `systemctl enable` away.
  const wants = where === 'system' ? 'multi-user.target.wants' : 'default.target.wants';
  await rm(join(dirname(path), wants, UNIT_NAME), { force: true });
  await rm(path);
  if (systemd) await systemctl(where, 'daemon-reload');
  return { scope: where, path, unit, state: 'removed', systemd };
}

function scopeOf(scope: InstallOptions['scope']): 'system' | 'user' {
  return scope ?? (process.getuid?.() === 0 ? 'system' : 'user');
}

/** Where administrators' units are (systemd.unit(5)). SKERRY_UNIT_DIR is for packages that are built elsewhere, and tests. */
function unitPath(scope: 'system' | 'user'): string {
  const given = process.env['SKERRY_UNIT_DIR'];
  if (given !== undefined && isAbsolute(given)) return join(given, UNIT_NAME);
  if (scope === 'system') return join('/etc/systemd/system', UNIT_NAME);
  const config = process.env['XDG_CONFIG_HOME'];
  return join(
    config !== undefined && isAbsolute(config) ? config : join(homedir(), '.config'),
    'systemd/user',
    UNIT_NAME,
  );
}

function assertRights(scope: 'system' | 'user', path: string): void {
  if (scope === 'user' || process.getuid?.() === 0 || !path.startsWith('/etc/')) return;
  throw new SkerryError('refused', `Only root can install a service of the system (${path})`, {
    remedy: 'Type `sudo skerry daemon install --system`, or install your own: `skerry daemon install --user`.',
  });
}

async function writeUnit(path: string, unit: string): Promise<void> {
  try {
    await mkdir(dirname(path), { recursive: true });
    const temporary = `${path}.new`;
    await using file = await open(temporary, 'w', 0o644);
    await file.writeFile(unit);
    await file.sync();
    await rename(temporary, path);
  } catch (error) {
    throw new SkerryError('refused', `${path} can't be written: ${(error as Error).message}`, {
      remedy: 'Check the rights of its directory, or see the unit with --dry-run and put it in place yourself.',
      cause: error,
    });
  }
}

/** sd_booted(3): the directory is there if and only if systemd is the init. A user's manager has its socket. */
async function systemdRuns(scope: 'system' | 'user'): Promise<boolean> {
  const runtime = process.env['XDG_RUNTIME_DIR'];
  const paths = [
    '/run/systemd/system',
    ...(scope === 'system' ? [] : [runtime === undefined ? '' : `${runtime}/systemd`]),
  ];
  const found = await Promise.all(paths.map((path) => stat(path).catch(() => undefined)));
  return found.every((each) => each?.isDirectory() === true);
}

async function systemctl(scope: 'system' | 'user', ...args: string[]): Promise<void> {
  const options = { timeoutMs: 60_000, env: scope === 'user' ? managerEnv() : {} };
  await run(['systemctl', ...(scope === 'user' ? ['--user'] : []), ...args], options).catch((error: unknown) => {
    const { message, details } = SkerryError.from(error);
    throw new SkerryError('failed', `systemd does not do it: ${message}`, {
      remedy: `See \`journalctl ${scope === 'user' ? '--user ' : ''}-u ${UNIT_NAME}\`.`,
      details,
      cause: error,
    });
  });
}

/** What `systemctl --user` finds its manager by. */
function managerEnv(): Record<string, string> {
  const names = ['XDG_RUNTIME_DIR', 'DBUS_SESSION_BUS_ADDRESS'];
  return Object.fromEntries(
    names.flatMap((name) => [[name, process.env[name] ?? '']]).filter(([, value]) => value !== ''),
  );
}
