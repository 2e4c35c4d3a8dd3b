import { execFile } from 'node:child_process';
import { chmod, copyFile, mkdir, mkdtemp, readFile, rm, stat, symlink, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';

/**
 * The real launcher and set-up in a small clone of their own. Only npm and apt-get are stood in for: by programs that do in
 * milliseconds what is asked of them, or die half-way. (The real ones: a dry run in a fresh clone, see CONTRIBUTING.md.)
 */

const ROOT = resolve(import.meta.dirname, '../..');
let top: string;
let clone: string;
let tools: string;

beforeEach(async () => {
  top = await mkdtemp(join(tmpdir(), 'skerry launcher '));
  clone = join(top, 'a clone');
  tools = join(top, 'tools');
  for (const file of ['skerry', 'scripts/locate.sh', 'scripts/setup.sh', 'scripts/modules-match.mjs']) {
    await mkdir(dirname(join(clone, file)), { recursive: true });
    await copyFile(join(ROOT, file), join(clone, file));
  }
  await write('package.json', '{}');
  await write('package-lock.json', '{"packages":{"":{},"node_modules/a":{"version":"1.0.0"}}}');
  await write(
    'packages/cli/src/main.ts',
    'console.log(JSON.stringify([process.argv.slice(2), process.cwd(), process.env]));\n',
  );
  await write(
    'native/build.sh',
    'cd "$(dirname "$0")"; mkdir -p build; for n in agent vmjail; do echo >build/$n; chmod +x build/$n; done\n',
  );
  await tool('npm', INSTALL);
});

afterEach(() => rm(top, { recursive: true }));

/** What npm leaves of a finished install, written last: its hidden lock file. */
const INSTALL = `echo call >>"${'$'}LOG"; mkdir -p node_modules/a; sleep 0.1; cp package-lock.json node_modules/.package-lock.json`;

async function write(path: string, text: string): Promise<void> {
  await mkdir(dirname(join(clone, path)), { recursive: true });
  await writeFile(join(clone, path), text);
}

async function tool(name: string, script: string): Promise<void> {
  await mkdir(tools, { recursive: true });
  await writeFile(join(tools, name), `#!/bin/sh\n${script}\n`);
  await chmod(join(tools, name), 0o755);
}

interface Ran {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

function run(command: string, args: string[] = [], env: Record<string, string> = {}, cwd = top): Promise<Ran> {
  const all = {
    PATH: `${tools}:/usr/bin:/bin`,
    HOME: top,
    SKERRY_CACHE_DIR: join(top, 'cache'),
    SKERRY_NODE: process.execPath,
    LOG: join(top, 'log'),
    ...env,
  };
  return new Promise((done) => {
    execFile(command, args, { env: all, cwd }, (error, stdout, stderr) => {
      done({ exitCode: error === null ? 0 : Number(error.code ?? 1), stdout, stderr });
    });
  });
}

const skerry = (...args: string[]): Promise<Ran> => run(join(clone, 'skerry'), args);
const npmCalls = async (): Promise<number> => (await readFile(join(top, 'log'), 'utf8')).split('\n').length - 1;

test('sets up once, with progress on stderr, and starts nothing but Node from then on', async () => {
  const first = await skerry('list', '-o', 'two words');
  expect(first.stderr).toMatch(/installing JavaScript packages \(npm\): done \(\d+ s\)/);
  expect(first.exitCode).toBe(0);

  // With no directory in PATH, any other program that the launcher needed would be missing.
  const env = { PATH: '/nowhere' };
  const second = await run('/bin/sh', [join(clone, 'skerry'), 'list', '-o', 'two words'], env, '/');
  expect(second.stderr).toBe('');
  const [args, cwd, seen] = JSON.parse(second.stdout) as [string[], string, Record<string, string>];
  expect(args).toEqual(['list', '-o', 'two words']);
  expect(cwd).toBe('/');
  expect(seen['NODE_COMPILE_CACHE']).toBe(join(top, 'cache/compile-cache'));
  expect(await npmCalls()).toBe(1);
});

test('works through links in PATH, and tells by which name it was called', async () => {
  await mkdir(join(top, 'bin'));
  await symlink('../a clone/skerry', join(top, 'bin/one'));
  await symlink('one', join(top, 'bin/vmkit'));
  const { stdout } = await run('vmkit', ['ls'], { PATH: `${join(top, 'bin')}:${tools}:/usr/bin:/bin` });
  const [args, , env] = JSON.parse(stdout) as [string[], string, Record<string, string>];
  expect([args, env['SKERRY_PROGRAM']]).toEqual([['ls'], 'vmkit']);
});

test('an install that was killed is not taken for done', async () => {
  await tool('npm', 'mkdir -p node_modules/a; touch node_modules/a/half; kill -9 $$');
  const killed = await skerry();
  expect(killed.exitCode).not.toBe(0);
  expect(killed.stderr).toContain('FAILED');
  expect(killed.stdout).toBe('');

  await tool('npm', INSTALL);
  expect((await skerry()).exitCode).toBe(0);
  await expect(stat(join(clone, 'node_modules/a/half'))).rejects.toThrow('ENOENT');
});

test('two at once install once', async () => {
  const both = await Promise.all([skerry(), skerry()]);
  expect(both.map(({ exitCode }) => exitCode)).toEqual([0, 0]);
  expect(await npmCalls()).toBe(1);
});

test('a changed lock file is installed; one that is only touched, or was installed by npm already, is not', async () => {
  await skerry();
  const later = new Date(Date.now() + 5000);
  await utimes(join(clone, 'package-lock.json'), later, later);
  expect((await skerry()).exitCode).toBe(0);
  expect(await npmCalls()).toBe(1);

  await write('package-lock.json', '{"packages":{"":{},"node_modules/a":{"version":"2.0.0"}}}');
  await utimes(join(clone, 'package-lock.json'), later, later);
  await skerry();
  expect(await npmCalls()).toBe(2);
});

test('changed native source is built again', async () => {
  await skerry();
  const later = new Date(Date.now() + 5000);
  await write('native/agent/main.c', '');
  await utimes(join(clone, 'native/agent/main.c'), later, later);
  expect((await skerry()).stderr).toContain('building the native programs: done');
});

test('a Node that is not there is named', async () => {
  const { exitCode, stderr } = await run(join(clone, 'skerry'), [], { SKERRY_NODE: '/no/node' });
  expect(exitCode).toBe(5);
  expect(stderr).toMatch(/SKERRY_NODE names \/no\/node.*\n {2}remedy: /);
});

test('missing distribution packages: named without a terminal, installed with CI=true or --yes', async () => {
  await write('scripts/packages.txt', '# comment\nsome-tool  sh  # there\nother-tool  a-command-of-the-test  # not\n');
  await tool('id', 'echo 0'); // who is asked about rights, not the rights themselves
  await tool(
    'apt-get',
    `echo "$*" >>"${'$'}LOG"; case "$*" in *install*) cp "${'$'}0" "${'$'}{0%/*}/a-command-of-the-test" ;; esac`,
  );
  const setup = [join(clone, 'scripts/setup.sh'), 'packages'];

  const refused = await run('/bin/sh', setup);
  expect(refused.exitCode).toBe(5);
  expect(refused.stderr).toContain('remedy: apt-get update && apt-get install --no-install-recommends other-tool');

  const installed = await run('/bin/sh', setup, { CI: 'true' });
  expect(installed.stderr).toMatch(/installing distribution packages: other-tool *: done/);
  expect(installed.exitCode).toBe(0);
  expect(await readFile(join(top, 'log'), 'utf8')).toMatch(/install --no-install-recommends other-tool\n$/);

  const again = await run('/bin/sh', setup);
  expect([again.exitCode, again.stderr]).toEqual([0, '']);

  await rm(join(tools, 'a-command-of-the-test'));
  expect((await run('/bin/sh', [...setup, '--yes'])).exitCode).toBe(0);
});

test('an ordinary user without a terminal is told what to type, and nothing is installed', async () => {
  await write('scripts/packages.txt', 'other-tool  a-command-of-the-test\n');
  await tool('id', 'echo 1000');
  await tool('apt-get', `echo called >>"${'$'}LOG"`);
  const { exitCode, stderr } = await run('/bin/sh', [join(clone, 'scripts/setup.sh'), 'packages', '--yes']);
  expect(exitCode).toBe(5);
  expect(stderr).toContain('as root: apt-get update && apt-get install');
  await expect(readFile(join(top, 'log'))).rejects.toThrow('ENOENT');
});
