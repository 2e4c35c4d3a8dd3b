import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { unitText } from '../../src/offline/unit-plan.ts';

const run = promisify(execFile);
const program = join(import.meta.dirname, '../../src/offline/main.ts');
const argv = [process.execPath, '--conditions=source', join(import.meta.dirname, '../../src/main.ts')];
const analyze = (process.env['PATH'] ?? '')
  .split(delimiter)
  .map((dir) => join(dir, 'systemd-analyze'))
  .find(existsSync);
let dir: string;
beforeAll(async () => void (dir = await mkdtemp(join(tmpdir(), 'skerry-unit-'))));
afterAll(() => rm(dir, { recursive: true, force: true }));

async function offline(
  verb: string,
  options: object,
  env: object = {},
): Promise<{ result?: Record<string, unknown>; error?: { code: string; remedy: string } }> {
  const given = { ...process.env, SKERRY_UNIT_DIR: join(dir, 'units'), ...env };
  const { stdout } = await run(process.execPath, ['--conditions=source', program, verb, JSON.stringify(options)], {
    env: given,
  });
  return JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as never;
}

describe.each(['system', 'user'] as const)('the unit of the %s', (scope) => {
  const unit = unitText({ scope, argv, env: { SKERRY_DATA_DIR: '/data of "mine" 100%' } });

  test('lets VMs outlive the daemon', () => {
    for (const line of ['KillMode=process', 'Delegate=yes', 'OOMPolicy=continue', 'NoNewPrivileges=yes']) {
      expect(unit.split('\n')).toContain(line);
    }
    // Each would take from VMs, or from those who build images, what they need.
    expect(unit).not.toMatch(
      /^(?:PrivateTmp|PrivateDevices|ProtectHome|ProtectClock|RestrictNamespaces|RestrictSUIDSGID|MemoryDeny\w+)=/m,
    );
    expect(unit).toContain(String.raw`Environment="SKERRY_DATA_DIR=/data of \"mine\" 100%%"`);
  });

  test.skipIf(analyze === undefined).each([
    ['ours', unit],
    ["a package's", unitText({ scope, argv, env: {}, package: { name: 'skerry', environmentFile: '/etc/default/x' } })],
  ])('is one that systemd understands, every word of it: %s', async (_, text) => {
    const path = join(dir, `${scope}/skerryd.service`);
    await mkdir(join(dir, scope), { recursive: true });
    await writeFile(path, text);
    const { stderr } = await run(analyze ?? '', [
      'verify',
      '--man=no',
      ...(scope === 'user' ? ['--user'] : []),
      path,
    ]).catch((error: { stderr: string }) => error);
    expect(stderr.split('\n').filter((line) => line.includes('skerryd.service'))).toEqual([]);
  });
});

test.skipIf(analyze === undefined)('it is less exposed than one without hardening', async () => {
  const path = join(dir, 'security/skerryd.service');
  await mkdir(join(dir, 'security'), { recursive: true });
  const exposure = async (unit: string): Promise<number> => {
    await writeFile(path, unit);
    const args = ['security', '--offline=yes', '--no-pager', path];
    const { stdout } = await run(analyze ?? '', args).catch((error: { stdout: string }) => error);
    return Number(/Overall exposure level.*?: ([\d.]+)/.exec(stdout)?.[1]);
  };
  const hardened = await exposure(unitText({ scope: 'system', argv, env: {} }));
  const bare = await exposure(`[Service]\nExecStart=${argv.join(' ')}\n`);
  expect(bare).toBeGreaterThan(9);
  expect(hardened).toBeLessThan(bare - 1);
});

describe('install', () => {
  const unitPath = (): string => join(dir, 'units/skerryd.service');

  test('a dry run changes nothing', async () => {
    const { result } = await offline('install', { scope: 'system', dryRun: true, argv });
    expect(result).toMatchObject({ state: 'planned', unit: expect.stringContaining('ExecStart=') });
    expect(existsSync(unitPath())).toBe(false);
  });

  test('writes the unit once, with the settings of now; uninstall takes it away once', async () => {
    const env = { SKERRY_MEMORY_BUDGET: '4Gi', SKERRY_HOST: 'unix:///elsewhere' };
    expect((await offline('install', { scope: 'system', argv }, env)).result).toMatchObject({ state: 'written' });
    const unit = await readFile(unitPath(), 'utf8');
    expect(unit).toContain('Environment=SKERRY_MEMORY_BUDGET=4Gi\n');
    expect(unit).not.toContain('SKERRY_HOST');
    expect((await stat(unitPath())).mode & 0o777).toBe(0o644);
    expect((await offline('install', { scope: 'system', argv }, env)).result).toMatchObject({ state: 'unchanged' });
    expect((await offline('install', { scope: 'system', argv })).result).toMatchObject({ state: 'written' });
    expect(await readdir(join(dir, 'units'))).toEqual(['skerryd.service']);
    expect((await offline('uninstall', { scope: 'system' })).result).toMatchObject({ state: 'removed' });
    expect((await offline('uninstall', { scope: 'system' })).result).toMatchObject({ state: 'absent' });
    expect(await readdir(join(dir, 'units'))).toEqual([]);
  });

  test.runIf(process.getuid?.() === 0)('without rights it is refused, with what to type', async () => {
    const home = join(dir, 'home');
    await mkdir(home, { recursive: true });
    for (const path of [dir, home]) await chmod(path, 0o755);
    const as = ['--reuid=65534', '--regid=65534', '--clear-groups', '--'];
    const call = async (
      verb: string,
      options: object,
      env: object,
    ): Promise<{ error: { code: string; remedy: string } }> => {
      const command = [...as, process.execPath, '--conditions=source', program, verb, JSON.stringify(options)];
      const { stdout } = await run('setpriv', command, {
        env: { ...process.env, HOME: home, SKERRY_UNIT_DIR: '', ...env },
        cwd: '/',
      });
      return JSON.parse(stdout) as never;
    };
    const system = await call('install', { scope: 'system', argv }, {});
    expect(system.error).toMatchObject({ code: 'refused', remedy: expect.stringContaining('--user') });
    const user = await call('install', { argv }, { XDG_CONFIG_HOME: '' });
    expect(user.error).toMatchObject({ code: 'refused', remedy: expect.stringContaining('--dry-run') });
  });
});
