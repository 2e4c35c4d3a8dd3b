import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Vm } from '@skerry/api';
import { startTestHost, type TestHost } from '@skerry/testkit';
import { Random } from '../soak/random.ts';

/**
 * kill -9 of the daemon at any moment among crashes, restarts by policy, and users who start and stop. Another seed is
 * another sample: SKERRY_SEED=N.
 */

const NAMES = ['a', 'b', 'c', 'd'];
const STEPS = 30;
/** Fewer than would make one flap, from whichever VM. */
const MOST_CRASHES = 8;

let host: TestHost;
beforeAll(async () => void (host = await startTestHost()));
afterAll(() => host[Symbol.asyncDispose]());

const get = (name: string): Promise<Vm> => host.client.call('vm.get', { params: { vm: name } });

test('what is wanted comes about, and what a user has stopped stays so', async () => {
  const seed = Number(process.env['SKERRY_SEED'] ?? 20_260);
  const random = new Random(seed);
  const stopped = new Set<string>();
  const crashes = new Map<string, number>();
  const restart = { policy: 'on-failure', backoffMs: 200 } as const;
  for (const name of NAMES) {
    await host.client.run('vm.create', { body: { name, memoryMib: 64, restart, start: true } });
  }

  const actions = {
    async crash() {
      const name = random.pick(NAMES);
      const { pid } = (await get(name)).status.process ?? {};
      const count = crashes.get(name) ?? 0;
      if (pid === undefined || count >= MOST_CRASHES) return;
      crashes.set(name, count + 1);
      killIfThere(pid);
    },
    async killDaemon() {
      await new Promise((resolve) => setTimeout(resolve, random.below(600)));
      await host.kill9();
      await host.start();
    },
    async crashWhileAway() {
      const name = random.pick(NAMES);
      const { pid } = (await get(name)).status.process ?? {};
      await host.kill9();
      const count = crashes.get(name) ?? 0;
      if (pid !== undefined && count < MOST_CRASHES) {
        crashes.set(name, count + 1);
        killIfThere(pid);
      }
      await host.start();
    },
    async stop() {
      const name = random.pick(NAMES);
      await host.client.run('vm.stop', { params: { vm: name }, body: { timeoutMs: 2000 } });
      stopped.add(name);
    },
    async start() {
      const name = random.pick(NAMES);
      await host.client.run('vm.start', { params: { vm: name } });
      stopped.delete(name);
    },
  };
  const names = Object.keys(actions) as Array<keyof typeof actions>;
  for (let step = 0; step < STEPS; step += 1)
    await actions[random.pick([...names, 'crash', 'crash', 'killDaemon'] as const)]();

  for (const name of NAMES) {
    const isRight = async (): Promise<string> => {
      const { spec, status } = await get(name);
      const isStopped = spec.power === 'stopped' && (status.state === 'stopped' || status.state === 'crashed');
      const isUp = spec.power === 'running' && status.state === 'running' && status.agent?.connected === true;
      if (!(stopped.has(name) ? isStopped : isUp)) return JSON.stringify({ spec, status });
      if (stopped.has(name)) return 'right';
      // The status of a process that was killed a moment ago may still say "running": what counts is that it answers.
      const said = await host.client.exec(name, 'hostname').then(({ stdout }) => stdout.trim(), String);
      return said === name ? 'right' : said;
    };
    await expect.poll(isRight, { timeout: 90_000, message: `${name}, seed ${seed}` }).toBe('right');
  }
  // One process each, and nothing beside.
  expect(await host.leftovers(), `seed ${seed}`).toEqual([]);
}, 400_000);

function killIfThere(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has just ended.
  }
}
