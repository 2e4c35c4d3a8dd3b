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
