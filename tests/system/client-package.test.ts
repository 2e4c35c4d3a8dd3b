import { execFile } from 'node:child_process';
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startTestHost, type TestHost } from '@skerry/testkit';
import { oldNode } from './old-node.ts';

/** The client as a user has it: packed, installed from the tarball into an empty project, and used from there. */

const ROOT = join(import.meta.dirname, '../..');

interface Ran {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

let host: TestHost;
let project: string;

function run(command: string, args: readonly string[], env: NodeJS.ProcessEnv, cwd = project): Promise<Ran> {
  return new Promise((resolve) => {
    execFile(command, args, { env, cwd }, (error, stdout, stderr) => {
      resolve({ exitCode: error === null ? 0 : Number(error.code ?? 1), stdout, stderr });
    });
  });
}

async function succeed(command: string, args: readonly string[], cwd?: string): Promise<void> {
  const { exitCode, stdout, stderr } = await run(command, args, process.env, cwd);
  if (exitCode !== 0) throw new Error(`${command} ${args.join(' ')}:\n${stdout}${stderr}`);
}

beforeAll(async () => {
  project = await mkdtemp(join(tmpdir(), 'skerry client '));
  host = await startTestHost();
  await cp(join(import.meta.dirname, 'client-project'), project, { recursive: true });
  await succeed('npm', ['pack', '-w', 'skerry', '--pack-destination', project], ROOT);
  const quietly = ['--no-audit', '--no-fund', '--no-update-notifier', '--prefer-offline'];
  await succeed('npm', ['install', ...quietly, './skerry-0.1.0.tgz']);
  // Not a dependency of the client: a project that tests with it has it.
  await symlink(join(ROOT, 'node_modules/vitest'), join(project, 'node_modules/vitest'));
});
afterAll(async () => {
  await rm(project, { recursive: true, force: true });
  await host[Symbol.asyncDispose]();
});

test('its types are complete, for a strict project that checks libraries too', async () => {
  const tsc = join(ROOT, 'node_modules/typescript/bin/tsc');
  expect(await run(process.execPath, [tsc, '-p', '.'], process.env)).toMatchObject({ exitCode: 0, stdout: '' });
});

test('runs on Node 20, and has the daemon started by the skerry it is told', async () => {
  await host.stop();
  const env = { ...host.env, SKERRY_COMMAND: join(ROOT, 'skerry') };
  try {
    const { stdout, stderr, exitCode } = await run(await oldNode(), ['program.mjs'], env);
    expect({ stderr, exitCode }).toEqual({ stderr: '', exitCode: 0 });
    const [used, left] = stdout.trim().split('\n');
    expect(JSON.parse(used ?? '')).toEqual({
      node: expect.stringMatching(/^20\./),
      hostname: 'from-npm',
      streamed: 'through stdin',
      file: 'through files',
      missing: { code: 'not-found', remedy: expect.stringContaining('`skerry list`') },
      late: 'timeout',
      names: ['from-npm'],
    });
    expect(left).toBe('0');
  } finally {
    expect(await host.cli(['daemon', 'stop'])).toMatchObject({ exitCode: 0 });
    await host.start();
  }
});

test('says what to do where no daemon runs and nothing can start one', async () => {
  const env = { ...host.env, SKERRY_RUNTIME_DIR: join(project, 'run'), SKERRY_DATA_DIR: join(project, 'data') };
  const script =
    "import('skerry').then((s) => s.Skerry.start()).catch((e) => console.log(e.code, e.message, e.remedy))";
  const say = async (more: NodeJS.ProcessEnv): Promise<string> =>
    (await run(process.execPath, ['-e', script], { ...env, ...more })).stdout;
  expect(await say({ PATH: '/nowhere' })).toMatch(/^unavailable No daemon runs, and 'skerry'.*Install Skerry/s);
  expect(await say({ SKERRY_COMMAND: '/no/skerry' })).toMatch(
    /'\/no\/skerry'.*there is no such program.*SKERRY_COMMAND/s,
  );
  expect(await say({ SKERRY_COMMAND: 'false' })).toMatch(
    /`false daemon start` failed \(exit code 1\).*`false host doctor`/s,
  );
});

test('gives each test of Vitest a VM, and leaves none; the page about faults in tests does as it says', async () => {
  const args = [join(ROOT, 'node_modules/vitest/vitest.mjs'), 'run', '--reporter=json', '--outputFile=report.json'];
  const page = await readFile(join(ROOT, 'docs/testing.md'), 'utf8');
  const shown = [...page.matchAll(/^```ts\n(.*?)^```$/gms)].map(([, code]) => code);
  expect(shown).toHaveLength(2);
  await writeFile(join(project, 'page.spec.ts'), shown.join('\n'));
  await run(process.execPath, args, host.env);
  const { testResults } = JSON.parse(await readFile(join(project, 'report.json'), 'utf8')) as {
    testResults: Array<{ name: string; assertionResults: Array<{ title: string; status: string }> }>;
  };
  const ended = Object.fromEntries(
    testResults.map(({ name, assertionResults }) => [basename(name), assertionResults.map(({ status }) => status)]),
  );
  expect(ended).toEqual({
    'vms.spec.js': ['passed', 'passed', 'passed', 'passed', 'failed'],
    'page.spec.ts': ['passed', 'passed'],
  });
  expect(await host.client.vms()).toEqual([]);
  expect(await host.client.call('fault.list', { query: { all: 'false' } })).toEqual([]);
});
