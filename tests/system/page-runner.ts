import { spawn } from 'node:child_process';
import { mkdtemp, readFile, symlink } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { startTestHost, type TestHost } from '@skerry/testkit/host';
import { missingLine, stepsOf } from '../../scripts/docs/page.ts';

/** Types what a page of docs/ shows, block by block, in a shell of its own, and compares what it prints with the page. */

const REPOSITORY = fileURLToPath(new URL('../../', import.meta.url));
const BLOCK_TIMEOUT_MS = 60_000;
/** What a clone has, as far as pages use it. */
const CLONE = ['examples', 'scripts', 'node_modules', 'package-lock.json'];

/**
 * Blocks are typed at `host`, those with `at=NAME` at another host that has caches of its own too and is gone after the
 * page; all see the same files. Port 8080 is another, free one.
 *
 * @throws when a block fails, or prints anything else than the page says
 */
export async function runPage(
  host: TestHost,
  path: string,
  { blockTimeoutMs = BLOCK_TIMEOUT_MS }: { readonly blockTimeoutMs?: number } = {},
): Promise<void> {
  await using others = new AsyncDisposableStack();
  const page = await readFile(join(REPOSITORY, path), 'utf8');
  const port = String(await freePort());
  const hosts = new Map([['', host]]);
  const dir = await mkdtemp(join(host.dir, 'page-'));
  for (const name of CLONE) await symlink(join(REPOSITORY, name), join(dir, name));

  const steps = stepsOf(page);
  if (steps.length === 0) throw new Error(`${path} has no commands`);
  for (const { commands, line, at, expected } of steps) {
    const typedAt = hosts.get(at) ?? (await anotherHost(others, join(dir, `cache-${at}`)));
    hosts.set(at, typedAt);
    const { output, failure } = await typed(typedAt, dir, commands.replaceAll('8080', port), blockTimeoutMs);
    const missing = expected === undefined ? undefined : missingLine(expected.replaceAll('8080', port), output);
    const problem = failure ?? (missing === undefined ? undefined : `no line is: ${missing}`);
    if (problem !== undefined) throw new Error(`${path}:${line}: ${problem}\n${commands}\nprinted:\n${output}`);
  }
}

async function anotherHost(hosts: AsyncDisposableStack, cacheDir: string): Promise<TestHost> {
  const host = hosts.use(await startTestHost({ env: { SKERRY_CACHE_DIR: cacheDir } }));
  // A page that restores a backup has another daemon started in the place of the host's.
  hosts.defer(async () => {
    if (host.daemonPid === undefined) await host.cli(['daemon', 'stop']);
  });
  return host;
}

/** Both outputs in one, as on a terminal. The first line that fails ends it. */
function typed(
  host: TestHost,
  cwd: string,
  commands: string,
  timeoutMs: number,
): Promise<{ output: string; failure?: string }> {
  const script = `exec 2>&1; set -eEuo pipefail\ntrap 'echo "failed: $BASH_COMMAND"' ERR\n${commands}`;
  const env = { ...host.env, HOME: cwd, PATH: `${REPOSITORY}:${host.env['PATH']}`, SKERRY_NODE: process.execPath };
  // A process group: what a line has left in the background ends with the block.
  const child = spawn('bash', ['-c', script], { cwd, env, detached: true, stdio: ['ignore', 'pipe', 'ignore'] });
  const end = (signal: NodeJS.Signals): void => {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, signal);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  };
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
  const timer = setTimeout(end, timeoutMs, 'SIGKILL');
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', () => end('SIGTERM'));
    child.once('close', (code, signal) => {
      clearTimeout(timer);
      resolve(code === 0 ? { output } : { output, failure: `ended with ${signal ?? `exit code ${code}`}` });
    });
  });
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0));
    });
  });
}
