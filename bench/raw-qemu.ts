import { spawn, type ChildProcess } from 'node:child_process';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { SkerryError } from '@skerry/api';
import { run } from '../packages/engine/src/hosts/index.ts';
import type { VmLaunch } from '../packages/engine/src/hypervisors/index.ts';
import { qemuPlan } from '../packages/engine/src/hypervisors/qemu/args.ts';
import { connectAgent, type AgentClient } from '../packages/engine/src/vms/agent/index.ts';

const QEMU = 'qemu-system-x86_64';

/** The raw tool: QEMU itself with the arguments that the driver would give it, paths in place of descriptors. */
export function rawArgv(launch: VmLaunch, dir: string, memoryPath = ''): string[] {
  const plan = qemuPlan(launch, { binary: QEMU });
  const paths = new Map([...plan.open.map((file) => [file.name, file.path] as const), ['memory', memoryPath]]);
  const sets = plan.argv.flatMap((argument) => /^fd=\{(\w+)\},set=\d+$/.exec(argument)?.[1] ?? []);
  const argv = plan.argv.filter((argument, index) => argument !== '-add-fd' && plan.argv[index - 1] !== '-add-fd');
  return argv.map((argument) =>
    argument
      .replace(/\/proc\/self\/fd\/\{(\w+)\}/, (_, name: string) => paths.get(name) ?? '')
      .replace(/\/dev\/fdset\/(\d+)/, (_, set: string) => paths.get(sets[Number(set) - 1] ?? '') ?? '')
      .replace(/addr\.type=fd,addr\.str=\{(\w+)\}/, (_, name: string) => `addr.type=unix,addr.path=${join(dir, name)}`)
      .replace(/\bfd=\{(\w+)\}/, (_, name: string) => `path=${join(dir, name)}`),
  );
}

/** Spawn to the agent's answer, with a fresh disk of its own. */
export async function timeRawStart(launch: VmLaunch, dir: string): Promise<number> {
  await rm(dir, { recursive: true, force: true });
  await mkdir(dir, { recursive: true });
  const [disk] = launch.disks;
  if (disk === undefined || disk.format === 'placeholder' || disk.backing === undefined)
    throw new Error('the launch has no overlay');
  const { backing } = disk;
  const own = join(dir, 'disk.qcow2');
  await run(['qemu-img', 'create', '-q', '-f', 'qcow2', '-b', backing.path, '-F', backing.format, own]);
  const [binary = '', ...args] = rawArgv({ ...launch, dir, disks: [{ ...disk, path: own }] }, dir);
  const startedAtMs = performance.now();
  const child = spawn(binary, args, { stdio: 'ignore' });
  try {
    const agent = await connected(join(dir, 'agent'));
    const ms = performance.now() - startedAtMs;
    agent.close();
    return ms;
  } finally {
    await ended(child);
  }
}

export async function ended(child: ChildProcess): Promise<void> {
  const gone = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await gone;
}

/** QEMU binds its socket a moment before it listens on it. */
export async function connected(socketPath: string): Promise<AgentClient> {
  for (;;) {
    try {
      return await connectAgent(socketPath, { timeoutMs: 60_000 });
    } catch (error) {
      if (!(error instanceof SkerryError) || error.code !== 'unavailable') throw error;
      await sleep(1);
    }
  }
}
