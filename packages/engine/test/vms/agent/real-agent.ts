import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { connectAgent, type AgentClient, type AgentProcess } from '../../../src/vms/agent/index.ts';

/** The real agent as an ordinary process on this machine, listening on a unix socket instead of its port. */

const NATIVE = fileURLToPath(new URL('../../../../../native/', import.meta.url));
export const HEADER = join(NATIVE, 'agent/protocol.h');

export interface RealAgent extends AsyncDisposable {
  readonly dir: string;
  readonly socketPath: string;
  readonly process: ChildProcess;
  /** What its service has written. */
  serviceLog(): string;
  connect(): Promise<AgentClient>;
}

/** SKERRY_TEST_AGENT names another build of it, as one with sanitizers. */
export async function agentBinary(): Promise<string> {
  const other = process.env['SKERRY_TEST_AGENT'];
  if (other !== undefined) return other;
  await promisify(execFile)('sh', [join(NATIVE, 'build.sh'), 'agent']);
  return join(NATIVE, 'build/agent');
}

/** @param prefix a command that runs it, as `['unshare', '-n']` */
export async function startAgent(prefix: readonly string[] = []): Promise<RealAgent> {
  const binary = await agentBinary();
  const dir = await mkdtemp(join(tmpdir(), 'skerry-agent-'));
  const socketPath = join(dir, 'agent');
  const [command, ...before] = [...prefix, binary];
  if (command === undefined) throw new Error('no agent');
  const child = spawn(command, [...before, '--socket', socketPath], { stdio: ['ignore', 'pipe', 'inherit'] });
  let log = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (log += text));
  const clients: AgentClient[] = [];
  while (!(await exists(socketPath))) await sleep(5);
  return {
    dir,
    socketPath,
    process: child,
    serviceLog: () => log,
    connect: async () => {
      const client = await connectAgent(socketPath, { timeoutMs: 5000 });
      clients.push(client);
      return client;
    },
    [Symbol.asyncDispose]: async () => {
      for (const client of clients) client.close();
      if (child.exitCode === null && child.signalCode === null) {
        const ended = new Promise((resolve) => child.once('exit', resolve));
        child.kill('SIGKILL');
        await ended;
      }
      await rm(dir, { recursive: true, force: true });
    },
  };
}

export async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

export async function collect(stream: AsyncIterable<Buffer>): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** Runs a command to its end. */
export async function finish(
  process: AgentProcess,
): Promise<{ stdout: string; stderr: string; exitCode: number | null; signal: string | null }> {
  const [stdout, stderr, status] = await Promise.all([
    collect(process.stdout),
    collect(process.stderr),
    process.exited,
  ]);
  return { stdout: stdout.toString(), stderr: stderr.toString(), ...status };
}

/** Waits for something that has no event; the test's own time limit ends it. */
export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await sleep(10);
}
