import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { Skerry } from '@skerry/sdk';
import { PROTOCOLS, type PathProtocol } from './matrix.ts';

/** Somebody who is called, and calls others: a VM, or a network namespace. See paths.c. */

/** Where it is called (paths.c). */
export const PATHS_PORT = 7777;
/** Of the program, for one run of it. */
const MOST_QUESTIONS = 500;
const PROGRAM = '/bin/paths';

export interface Question {
  readonly address: string;
  readonly protocol: PathProtocol;
  /** That it leaves by; absent: whichever there is a route for. */
  readonly nic?: string | undefined;
  /** Of the packets, for a route of their own. */
  readonly mark?: number | undefined;
}

export interface Prober {
  readonly name: string;
  /** @returns by place in the list, who has answered: the name that it was started with, or `pong` */
  readonly ask: (questions: readonly Question[]) => Promise<ReadonlyMap<number, string>>;
}

/** @returns the program, for guests and for hosts of this machine's kind */
export async function buildPaths(dir: string): Promise<string> {
  const program = join(dir, 'paths');
  await promisify(execFile)('cc', ['-static', '-O2', '-o', program, join(import.meta.dirname, 'paths.c')]);
  return program;
}

/** It answers from now on, as long as the VM lives. */
export async function proberInVm(client: Skerry, vm: string, program: string): Promise<Prober> {
  const answer = `setsid ${PROGRAM} serve ${vm} </dev/null >/dev/null 2>&1 &`;
  await client.exec(vm, `cat > ${PROGRAM}; chmod +x ${PROGRAM}; ${answer}`, { stdin: await readFile(program) });
  return {
    name: vm,
    ask: (questions) =>
      inParts(questions, async (text) => (await client.exec(vm, [PROGRAM, 'ask'], { stdin: { text } })).stdout),
  };
}

/** @param netns its path */
export async function proberInNamespace(
  name: string,
  netns: string,
  program: string,
): Promise<Prober & AsyncDisposable> {
  const start = (args: readonly string[]): ChildProcess =>
    spawn('nsenter', [`--net=${netns}`, program, ...args], { stdio: ['pipe', 'pipe', 'inherit'] });
  const server = start(['serve', name]);
  const ask = async (text: string): Promise<string> => {
    const child = start(['ask']);
    const output: Buffer[] = [];
    child.stdout?.on('data', (data: Buffer) => output.push(data));
    child.stdin?.end(text);
    await once(child, 'close');
    return Buffer.concat(output).toString();
  };
  return {
    name,
    ask: (questions) => inParts(questions, ask),
    [Symbol.asyncDispose]: async () => {
      const ended = once(server, 'exit');
      server.kill('SIGKILL');
      await ended;
    },
  };
}

async function inParts(
  questions: readonly Question[],
  run: (text: string) => Promise<string>,
): Promise<ReadonlyMap<number, string>> {
  const answered = new Map<number, string>();
  for (let from = 0; from < questions.length; from += MOST_QUESTIONS) {
    const lines = questions
      .slice(from, from + MOST_QUESTIONS)
      .map(({ address, protocol, nic = '-', mark = 0 }, at) => `${from + at} ${nic} ${mark} ${protocol} ${address}`);
    for (const line of (await run(`${lines.join('\n')}\n`)).trim().split('\n')) {
      const [id = '', name] = line.split(' ');
      if (name !== undefined) answered.set(Number(id), name);
    }
    await sleep(0);
  }
  return answered;
}

export function everyProtocol(address: string, more: Partial<Question> = {}): Question[] {
  return PROTOCOLS.map((protocol) => ({ address, protocol, ...more }));
}
