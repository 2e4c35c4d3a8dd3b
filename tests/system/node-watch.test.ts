import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { NodeLogLine, SkerryEvent } from '@skerry/api';
import type { NodeHandle } from '@skerry/sdk';
import { startTestHost, type TestHost } from '@skerry/testkit';

/** What a node's VMs write, and what happens to it; and `up` of a file that has been brought up already. */

let host: TestHost;
let node: NodeHandle;
beforeAll(async () => {
  host = await startTestHost();
  const talker = (text: string) => ({
    image: 'micro',
    cpus: 1,
    memoryMib: 64,
    command: ['sh', '-c', `mkfifo /run/say; echo ${text}; while read -r line; do echo "$line"; done <> /run/say`],
  });
  const vms = { late: { ...talker('late'), dependsOn: [{ vm: 'early' }] }, early: talker('early') };
  node = await host.client.up({ name: 'pair', spec: { vms, networks: { default: {} } } });
}, 120_000);
afterAll(() => host[Symbol.asyncDispose]());

const say = (vm: string, text: string) => host.client.exec(`pair/${vm}`, ['sh', '-c', `echo ${text} > /run/say`]);
const texts = (lines: readonly NodeLogLine[]): string[] => lines.map(({ vm, text }) => `${vm}: ${text}`);
async function past(options: Parameters<NodeHandle['logs']>[0] = {}): Promise<string[]> {
  const lines: NodeLogLine[] = [];
  for await (const line of node.logs(options)) lines.push(line);
  return texts(lines);
}

test('lines of all VMs are merged by time, and carry it', async () => {
  await expect.poll(() => past(), { timeout: 20_000 }).toEqual(['early: early', 'late: late']);
  const beforeMs = Date.now();
  for (const [vm, text] of [
    ['late', 'one'],
    ['early', 'two'],
    ['late', 'three'],
  ] as const) {
    // Their clocks agree to 100 ms at best: what comes closer after one another may stand the other way round.
    await sleep(300);
    await say(vm, text);
    await expect.poll(async () => (await past()).at(-1), { timeout: 10_000 }).toBe(`${vm}: ${text}`);
  }
  for await (const { text, at } of node.logs({ tail: 1 })) {
    expect(['two', 'three']).toContain(text);
    expect(Math.abs(Date.parse(at ?? '') - beforeMs)).toBeLessThan(20_000);
  }
  expect(await past({ vms: ['late'], tail: 2 })).toEqual(['late: one', 'late: three']);
  expect(await past({ sinceMs: 0 })).toEqual([]);
  const { stdout } = await host.cli(['node', 'logs', 'pair', '--since', '1h']);
  expect(stdout).toBe('early | early\nlate  | late\nlate  | one\nearly | two\nlate  | three\n');
  expect((await host.cli(['logs', 'pair/early'])).stdout).toBe('early\ntwo\n');
  expect((await host.cli(['node', 'logs', 'pair', 'nobody'])).stderr).toMatch(/no VM 'nobody' in pair/);
});

test('followed: restarts are survived, and VMs that come later are heard', async () => {
  const stop = new AbortController();
  const heard: NodeLogLine[] = [];
  const following = (async () => {
    for await (const line of node.logs({ follow: true, tail: 0, signal: stop.signal })) heard.push(line);
  })();
  following.catch(() => undefined);
  await sleep(500);
  await say('late', 'four');
  await expect.poll(() => texts(heard), { timeout: 10_000 }).toEqual(['late: four']);
  await host.client.run('vm.restart', { params: { vm: 'pair/late' } });
  await node.scale({ late: 2 });
  await expect.poll(() => texts(heard), { timeout: 20_000 }).toEqual(['late: four', 'late: late', 'late-2: late']);
  await say('late-2', 'five');
  await expect.poll(() => texts(heard).at(-1), { timeout: 10_000 }).toBe('late-2: five');
  stop.abort();
  await following.catch(() => undefined);
});

test('events of the node, its VMs and its tasks: followed without a gap or a repeat, from any one on', async () => {
  await host.client.run('vm.create', { body: { name: 'stranger', memoryMib: 64 } });
  const all: SkerryEvent[] = [];
  for await (const event of node.events()) all.push(event);
  expect(all.map(({ type }) => type)).toEqual(
    expect.arrayContaining(['node.up', 'vm.started', 'task.started', 'node.scaled', 'task.succeeded']),
  );
  expect(all.every(({ subject }) => subject?.name === 'pair' || subject?.name.startsWith('pair/'))).toBe(true);
  const stop = new AbortController();
  const followed: number[] = [];
  const following = (async () => {
    for await (const { id } of node.events({ after: all[2]?.id ?? 0, follow: true, signal: stop.signal }))
      followed.push(id);
  })();
  following.catch(() => undefined);
  await node.scale({ late: 1 });
  await expect
    .poll(
      async () => {
        const now: number[] = [];
        for await (const { id } of node.events()) now.push(id);
        return now.slice(3).length > all.length - 3 && JSON.stringify(followed) === JSON.stringify(now.slice(3));
      },
      { timeout: 10_000 },
    )
    .toBe(true);
  stop.abort();
  await following.catch(() => undefined);
});

test('up of a file that is up already changes nothing, and sees at once when the file has changed', async () => {
  const file = join(host.dir, 'again.yaml');
  const write = (text: string) =>
    writeFile(
      file,
      `apiVersion: skerry/v1\nname: again\nvms:\n  vm: { memory: 64Mi, files: [{ path: /x, source: ./x }], env: { A: ${text} } }\n`,
    );
  await writeFile(join(host.dir, 'x'), 'first');
  await write('one');
  const up = async () => {
    const result = await host.cli(['up', file]);
    expect(result.exitCode, result.stderr).toBe(0);
    return result.stdout;
  };
  const first = await up();
  // An image's own template is made when nobody waits, so at any time.
  const events = async () =>
    (await host.client.call('event.list')).filter(({ type }) => type !== 'template.built').length;
  const pid = async () => (await host.client.call('vm.get', { params: { vm: 'again/vm' } })).status.process?.pid;
  const before = await pid();
  // What the first one has to tell is written beside its answer, not before it.
  let count = -1;
  for (let now = await events(); now !== count; now = await events()) {
    count = now;
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
  expect(await up()).toBe(first);
  // Nothing at all: it was asked what there is to do, and there was nothing.
  expect([await events(), await pid()]).toEqual([count, before]);
  await writeFile(join(host.dir, 'x'), 'second');
  await up();
  expect((await host.client.exec('again/vm', ['cat', '/x'])).stdout).toBe('second');
  await write('two');
  await up();
  expect(await pid()).not.toBe(before);
  await host.client.run('vm.stop', { params: { vm: 'again/vm' }, body: {} });
  await up();
  expect((await host.client.call('vm.get', { params: { vm: 'again/vm' } })).status.state).toBe('running');
});
