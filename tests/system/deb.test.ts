import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { access, mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { hostPaths } from '@skerry/engine';
import { buildDeb } from '../../scripts/package/deb.ts';

/**
 * The Debian package, built and lived through in this machine's own root, written to aside. In a fresh debootstrap root,
 * with apt and the network: `npm run test:install`.
 */

const run = promisify(execFile);
const EPOCH = 1_700_000_000;

let dir: string;
let deb: string;

async function build(to: string): Promise<string> {
  await mkdir(join(dir, to));
  return buildDeb({ to: join(dir, to), epoch: EPOCH, compression: 1 });
}

const sum = async (file: string): Promise<string> =>
  createHash('sha256')
    .update(await readFile(file))
    .digest('hex');

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'skerry-install-'));
  deb = await build('first');
});
afterAll(() => rm(dir, { recursive: true, force: true }));

test('the same source gives the same bytes', { timeout: 300_000 }, async () => {
  expect(await sum(await build('second'))).toBe(await sum(deb));
});

test('runs from wherever it is unpacked, with its own Node and nothing of the repository', async () => {
  const root = join(dir, 'unpacked');
  await run('dpkg-deb', ['-x', deb, root]);
  const env = {
    PATH: '/usr/bin:/bin',
    HOME: dir,
    SKERRY_RUNTIME_DIR: join(dir, 'run'),
    SKERRY_CACHE_DIR: join(dir, 'cache'),
  };
  const { stdout } = await run(join(root, 'usr/bin/skerry'), ['version', '-o', 'json'], { env });
  const { version } = JSON.parse(await readFile(join(import.meta.dirname, '../../package.json'), 'utf8')) as {
    version: string;
  };
  expect(JSON.parse(stdout)).toMatchObject({ version, daemon: null, node: expect.stringMatching(/^v24\./) });
  // What is left out of others' packages is not missed by them.
  const lib = join(root, 'usr/lib/skerry');
  const script = `
    import { readdir } from 'node:fs/promises';
    for (const name of await readdir('node_modules', { recursive: true }))
      if (/^(?!@skerry)(?:@[^/]+\\/)?[^/@]+\\/package\\.json$/.test(name)) await import(name.slice(0, -'/package.json'.length));
  `;
  const loaded = await run(join(lib, 'bin/node'), ['--input-type=module', '-e', script], { cwd: lib, env });
  expect(loaded.stderr).toBe('');
  const sources = (await run('find', [root, '-name', '*.ts', '-o', '-name', '*.map'])).stdout.split('\n');
  // An example is there to be read.
  expect(sources.filter((path) => path !== '' && !path.includes('/lib/skerry/examples/'))).toEqual([]);
});

test('has the unit of the daemon, and what completes its commands in each shell', async () => {
  const root = join(dir, 'unpacked-too');
  await run('dpkg-deb', ['-x', deb, root]);
  const read = (path: string): Promise<string> => readFile(join(root, path), 'utf8');
  const unit = await read('usr/lib/systemd/system/skerryd.service');
  for (const line of ['KillMode=process', 'EnvironmentFile=-/etc/default/skerry', 'WantedBy=multi-user.target'])
    expect(unit.split('\n')).toContain(line);
  const [, command = ''] = /^ExecStart=(.*)$/m.exec(unit) ?? [];
  for (const path of command.split(' ').filter((word) => word.startsWith('/'))) await access(join(root, path));
  const env = { PATH: `${join(root, 'usr/bin')}:/usr/bin:/bin`, HOME: dir, SKERRY_CACHE_DIR: join(dir, 'cache') };
  const files = {
    bash: 'bash-completion/completions/skerry',
    zsh: 'zsh/vendor-completions/_skerry',
    fish: 'fish/vendor_completions.d/skerry.fish',
  };
  for (const [shell, file] of Object.entries(files))
    expect(await read(`usr/share/${file}`)).toBe((await run('skerry', ['completion', shell], { env })).stdout);
  const line = 'skerry node rest';
  const typed = `. "$0"; COMP_LINE='${line}' COMP_POINT=${line.length}; _skerry skerry; echo "\${COMPREPLY[*]}"`;
  const { stdout } = await run('bash', ['-c', typed, join(root, 'usr/share', files.bash)], { env });
  expect(stdout).toBe('restart restore\n');
});

test(
  'installs, starts, upgrades under a running VM, and is removed without a trace',
  { timeout: 600_000 },
  async (context) => {
    if (process.getuid?.() !== 0) context.skip('needs root, for a root file system to install into');
    const mount = ['-t', 'overlay', 'overlay', '-o', `lowerdir=/,upperdir=${dir}/u,workdir=${dir}/w`, join(dir, 'm')];
    for (const name of ['u', 'w', 'm']) await mkdir(join(dir, name));
    const can = await run('unshare', ['-m', 'mount', ...mount]).catch((error: Error) => error);
    if (can instanceof Error) context.skip(`needs an overlay file system: ${can.message}`);
    const { cacheDir } = hostPaths(process.env, 0);
    const script = join(import.meta.dirname, '../install/root.sh');
    // With process ids of its own: whatever it starts ends with it.
    const args = ['-m', '-p', '--fork', '--kill-child', 'sh', script, 'overlay', join(dir, 'overlay'), deb, cacheDir];
    const { stdout, code } = await run('unshare', args, { timeout: 580_000 }).then(
      (done) => ({ ...done, code: 0 }),
      (error: Error & { stdout: string; code: number }) => error,
    );
    expect({ code, stdout }).toMatchObject({ code: 0, stdout: expect.stringMatching(/ok: purged: nothing left\n$/) });
    expect(stdout).toContain('ok: a VM outlives an upgrade');
  },
);
