import { request } from 'node:http';
import type { HealthCheck, VmHealth } from '@skerry/api';
import type { AgentClient } from './agent/index.ts';

/** Runs one VM's health check until it is stopped, and says when the verdict changes. */

/** Until it is healthy for the first time it is asked more often than its interval says: who waits shall not wait for that. */
const EAGER_INTERVAL_MS = 20;
/**
 * Nor for more than this share of what it has taken already. Each question takes time from what is being waited for: 13 ms
 * of a processor for a command under emulation.
 */
const EAGER_SHARE = 0.05;

/** The guest chooses what a check says: one that changes it all the time must not cost a write each time. */
const TOLD_INTERVAL_MS = 1000;

export interface HealthWatch {
  stop(): void;
}

/** @param onVerdict also hears why it is not healthy yet: 'starting' with a message, when that has changed */
export function watchHealth(
  agent: AgentClient,
  check: HealthCheck,
  onVerdict: (health: VmHealth, message: string | undefined) => void,
): HealthWatch {
  const startedAtMs = performance.now();
  const stopped = new AbortController();
  let verdict: VmHealth = 'starting';
  let failures = 0;
  let told: string | undefined;
  let toldAtMs = -Infinity;
  let timer: NodeJS.Timeout | undefined;

  const tell = (problem: string): void => {
    if (problem === told || performance.now() - toldAtMs < TOLD_INTERVAL_MS) return;
    told = problem;
    toldAtMs = performance.now();
    onVerdict('starting', problem);
  };

  const round = async (): Promise<void> => {
    const problem = await probe(agent, check, stopped.signal);
    if (stopped.signal.aborted) return;
    if (problem === undefined) {
      failures = 0;
      if (verdict !== 'healthy') onVerdict((verdict = 'healthy'), undefined);
    } else {
      failures += 1;
      const inStartPeriod = verdict === 'starting' && performance.now() - startedAtMs < check.startPeriodMs;
      if (!inStartPeriod && failures >= check.retries && verdict !== 'unhealthy')
        onVerdict((verdict = 'unhealthy'), problem);
      else if (verdict === 'starting') tell(problem);
    }
    const sinceMs = performance.now() - startedAtMs;
    timer = setTimeout(() => void round(), verdict === 'starting' ? eagerMs(sinceMs, check) : check.intervalMs);
  };
  void round();
  return {
    stop() {
      stopped.abort();
      clearTimeout(timer);
    },
  };
}

/** Until it is asked again, of one that has never been well. */
export function eagerMs(sinceMs: number, { intervalMs }: Pick<HealthCheck, 'intervalMs'>): number {
  return Math.min(intervalMs, Math.max(EAGER_INTERVAL_MS, sinceMs * EAGER_SHARE));
}

/** Undefined when it is well, else what is wrong. Never throws. */
async function probe(agent: AgentClient, check: HealthCheck, stopped: AbortSignal): Promise<string | undefined> {
  const signal = AbortSignal.any([stopped, AbortSignal.timeout(check.timeoutMs)]);
  try {
    if (check.kind === 'exec') return await probeExec(agent, check.argv, signal);
    if (check.kind === 'tcp') return await probeTcp(agent, check.port, signal);
    return await probeHttp(agent, check, signal);
  } catch (error) {
    if (signal.aborted) return `no answer within ${check.timeoutMs} ms`;
    return error instanceof Error ? error.message : String(error);
  }
}

async function probeExec(
  agent: AgentClient,
  argv: readonly string[],
  signal: AbortSignal,
): Promise<string | undefined> {
  const child = agent.exec({ argv: [...argv], stdin: false }, { signal });
  child.stdout.resume();
  child.stderr.resume();
  const { exitCode, signal: killedBy } = await child.exited;
  return exitCode === 0 ? undefined : `'${argv.join(' ')}' ended with ${killedBy ?? `exit code ${exitCode}`}`;
}

async function probeTcp(agent: AgentClient, port: number, signal: AbortSignal): Promise<string | undefined> {
  const connection = agent.forward(port);
  try {
    return await new Promise<string | undefined>((resolve, reject) => {
      const onAbort = (): void => reject(new Error('no answer'));
      signal.addEventListener('abort', onAbort, { once: true });
      connection.once('connect', () => resolve(undefined));
      connection.once('error', (error) => resolve(error.message));
    });
  } finally {
    // An orderly end: servers log a reset as an error of their own.
    connection.on('error', () => undefined);
    connection.resume();
    connection.end();
  }
}

async function probeHttp(
  agent: AgentClient,
  check: Extract<HealthCheck, { kind: 'http' }>,
  signal: AbortSignal,
): Promise<string | undefined> {
  const connection = agent.forward(check.port);
  try {
    const status = await new Promise<number>((resolve, reject) => {
      connection.once('error', reject);
      const call = request(
        {
          path: check.path,
          headers: { host: 'localhost', connection: 'close' },
          // As a browser is: only the status counts, and small servers end header lines with LF alone.
          insecureHTTPParser: true,
          signal,
          createConnection: () => connection,
        },
        (response) => {
          response.resume();
          resolve(response.statusCode ?? 0);
        },
      );
      call.once('error', reject);
      call.end();
    });
    return status === check.status ? undefined : `answered ${status}, not ${check.status}`;
  } finally {
    connection.destroy();
  }
}
