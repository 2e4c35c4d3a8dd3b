import { rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { HealthCheck, type VmHealth } from '@skerry/api';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { AgentClient } from '../../src/vms/agent/index.ts';
import { eagerMs, watchHealth } from '../../src/vms/health.ts';
import { startAgent, until, type RealAgent } from './agent/real-agent.ts';

/** The checks go through the real agent; a file says what the checked command ends with. */

let agent: RealAgent;
let client: AgentClient;
beforeAll(async () => {
  agent = await startAgent();
  client = await agent.connect();
});
afterAll(() => agent[Symbol.asyncDispose]());

test('one that starts is asked again soon, and less often the longer it takes', () => {
  const asked = (intervalMs: number) => [0, 100, 1000, 20_000].map((sinceMs) => eagerMs(sinceMs, { intervalMs }));
  expect(asked(10_000)).toEqual([20, 20, 50, 1000]);
  expect(asked(500)).toEqual([20, 20, 50, 500]);
  expect(asked(10)).toEqual([10, 10, 10, 10]);
});

test('while it starts the reason is told when it changes, and not at every round', async () => {
  const file = join(agent.dir, 'code');
  const endWith = async (code: number): Promise<void> => {
    await writeFile(`${file}.new`, `${code}`);
    await rename(`${file}.new`, file);
  };
  await endWith(1);
  const check = HealthCheck.parse({
    kind: 'exec',
    argv: ['sh', '-c', `exit $(cat ${file})`],
    intervalMs: 1000,
    startPeriodMs: 60_000,
    retries: 1,
  });
  const verdicts: Array<[VmHealth, string | undefined]> = [];
  const watch = watchHealth(client, check, (...verdict) => verdicts.push(verdict));
  try {
    await until(() => verdicts.length === 1);
    await sleep(300);
    expect(verdicts).toEqual([['starting', expect.stringMatching(/exit code 1$/)]]);
    await endWith(2);
    await until(() => verdicts.length === 2);
    expect(verdicts[1]).toEqual(['starting', expect.stringMatching(/exit code 2$/)]);
    await endWith(0);
    await until(() => verdicts.length === 3);
    expect(verdicts[2]).toEqual(['healthy', undefined]);
  } finally {
    watch.stop();
  }
});

test('a guest that says something else each time is not listened to each time', async () => {
  const check = HealthCheck.parse({
    kind: 'exec',
    argv: ['sh', '-c', `n=$(cat ${agent.dir}/n || echo 0); echo $((n + 1)) > ${agent.dir}/n; exit $((n % 200 + 1))`],
    startPeriodMs: 60_000,
  });
  const messages: unknown[] = [];
  const watch = watchHealth(client, check, (_, message) => messages.push(message));
  await sleep(700);
  watch.stop();
  expect(messages).toHaveLength(1);
});
