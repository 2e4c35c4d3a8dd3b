import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { connectSwitch, SWITCH_ARGV, type SwitchClient } from '@skerry/switch';

/** The real switch, in a process of its own that is looked at. */

const CONNECT_ATTEMPTS = 200;

export interface SwitchProcess extends AsyncDisposable {
  readonly client: SwitchClient;
  /** User and system time that it has used so far. */
  readonly cpuMs: () => Promise<number>;
}

/** @param directory for its control socket */
export async function startSwitch(directory: string): Promise<SwitchProcess> {
  await using undo = new AsyncDisposableStack();
  const control = join(directory, 'control');
  const child = spawn(SWITCH_ARGV[0], [...SWITCH_ARGV.slice(1), '--control', control], { stdio: 'ignore' });
  undo.defer(() => end(child));
  const client = undo.use(await connectWhenUp(control));
  const resources = undo.move();
  return { client, cpuMs: () => cpuMsOf(child), [Symbol.asyncDispose]: () => resources.disposeAsync() };
}

export async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.kill('SIGTERM');
  await exited;
}

async function connectWhenUp(path: string): Promise<SwitchClient> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await connectSwitch(path);
    } catch (error) {
      if (attempt === CONNECT_ATTEMPTS) throw error;
      await sleep(50);
    }
  }
}

/** Fields 14 and 15 of proc_pid_stat(5), in ticks of 10 ms. */
async function cpuMsOf({ pid }: ChildProcess): Promise<number> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8');
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) * 10;
}
