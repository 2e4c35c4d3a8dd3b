import { spawn } from 'node:child_process';
import type { Skerry } from '@skerry/sdk';
import type { TestHost } from '@skerry/testkit/host';

/** One row of the table: a figure, what it is compared with, and its bar. */
export interface Row {
  readonly what: string;
  readonly unit: 'ms' | 'Gbit/s' | 'x' | 'MiB' | '%';
  readonly values: readonly number[];
  /** Undefined: shown without a judgement. */
  readonly bar?: { readonly most?: number; readonly least?: number } | undefined;
}

export interface BenchContext {
  readonly host: TestHost;
  readonly client: Skerry;
  /** Counted runs; at least 7 for a figure that is quoted. */
  readonly runs: number;
  readonly say: (text: string) => void;
}

export interface BenchCase {
  readonly name: string;
  run(context: BenchContext): Promise<readonly Row[]>;
}

export async function timed<T>(body: () => Promise<T>): Promise<{ ms: number; value: T }> {
  const startedAtMs = performance.now();
  const value = await body();
  return { ms: performance.now() - startedAtMs, value };
}

/** Runs a program to its end. @throws when it fails */
export function finished(command: string, args: readonly string[], env: NodeJS.ProcessEnv): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { env, stdio: 'ignore' });
    child.once('error', reject);
    child.once('exit', (code) => (code === 0 ? resolve() : reject(new Error(`${command} ended with ${code}`))));
  });
}
