import { appendFile, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Vm } from '@skerry/api';
import { startTestHost, type TestHost } from '@skerry/testkit';
import { drawnByBareClones } from './bare-clones.ts';

/**
 * Clones of one template have the same memory: each has to be somebody of its own before anything of the user's runs.
 * SKERRY_CLONES=100 for the whole proof, SKERRY_EVIDENCE=FILE for its figures.
 */

const COUNT = Number(process.env['SKERRY_CLONES'] ?? 12);
/** As many as CI has processors: a clone that waits for one gets its clock late. */
const AT_ONCE = 2;
const CLOCK_MS = 100;

let host: TestHost;
beforeAll(async () => void (host = await startTestHost()));
afterAll(() => host[Symbol.asyncDispose]());

/** Random bytes first: of what a clone does, the first thing that is the user's. */
const WHO_AM_I = `
  head -c 1024 /dev/urandom | od -An -v -tx1 | tr -d ' \\n'; echo
  cat /proc/sys/kernel/random/uuid /etc/machine-id /proc/sys/kernel/random/boot_id /run/skerry/generation
  hostname; cat /sys/class/net/eth0/address
  ip -4 -o addr show dev eth0 | sed 's/.*inet //; s/ .*//'
  cut -d' ' -f2 /etc/ssh/ssh_host_ed25519_key.pub`;
const FACTS = ['random', 'uuid', 'machineId', 'bootId', 'generation', 'hostname', 'mac', 'address', 'sshKey'] as const;
type Facts = Record<(typeof FACTS)[number], string>;

async function factsOf(vm: string): Promise<Facts> {
  const { stdout, stderr } = await host.client.exec(vm, WHO_AM_I);
  expect(stderr).toBe('');
  const lines = stdout.trim().split('\n');
  expect(lines.every((line) => line !== '') && lines.length).toBe(FACTS.length);
  return Object.fromEntries(FACTS.map((fact, index) => [fact, lines[index]])) as Facts;
}

/** Least time by which the guest's clock may be wrong, given that it was read between the two of the host's. */
async function clockErrorMs(vm: string): Promise<number> {
  const before = Date.now();
  const { stdout } = await host.client.exec(vm, ['adjtimex']); // busybox's date knows no fractions
  const after = Date.now();
  const field = (name: string): number => Number(new RegExp(`time\\.${name}: +(\\d+)`).exec(stdout)?.[1]);
  const guest = field('tv_sec') * 1000 + field('tv_usec') / 1000;
  return Math.max(0, before - guest, guest - after);
}

const body = (name: string) => ({ name, image: 'ssh', memoryMib: 64, start: true });

async function inTurns<T>(count: number, body: (index: number) => Promise<T>): Promise<T[]> {
  const results: T[] = [];
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let index = next++; index < count; index = next++) results[index] = await body(index);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  return results;
}

test(`${COUNT} clones of one template have nothing in common that tells who they are`, async () => {
  const recipe = join(host.dir, 'ssh.yaml');
  await writeFile(recipe, 'apiVersion: skerry/v1\nkind: Image\nname: ssh\nfrom: micro\npackages: [openssh-client]\n');
  expect(await host.cli(['image', 'build', recipe])).toMatchObject({ exitCode: 0 });
  const create = (index: number): Promise<Vm> => host.client.run('vm.create', { body: body(`c${index}`) });
  // Of those two the one that leaves less to be told: its clones have even their root disk in common.
  const template = await host.client.run('template.build', { body: { image: 'ssh', memoryMib: 64 } });
  expect(template.image).toBe('ssh');
  const first = await create(0);
  const found = await inTurns(COUNT, async (index) => {
    const vm = index === 0 ? first : await create(index);
    const facts = await factsOf(vm.id);
    return { vm, facts, clockMs: await clockErrorMs(vm.id) };
  });

  const templates = new Set(found.map(({ vm }) => vm.status.start?.template));
  expect([...templates]).toEqual([template.id]);
  for (const { vm } of found) expect(vm.status.start).toMatchObject({ how: 'clone' });
  for (const fact of FACTS) {
    const seen = new Set(found.map(({ facts }) => facts[fact]));
    expect(seen.size, `${fact} of ${COUNT} clones`).toBe(COUNT);
  }
  // Nor any part of what was drawn.
  const blocks = found.flatMap(({ facts }) => facts.random.match(/.{32}/g) ?? []);
  expect(new Set(blocks).size).toBe(COUNT * 64);
  for (const { vm, facts } of found) {
    expect(facts).toMatchObject({ hostname: vm.name, mac: vm.status.nics[0]?.mac });
    expect(facts.address.split('/')[0]).toBe(vm.status.nics[0]?.address);
  }
  const clocks = found.map(({ clockMs }) => clockMs).toSorted((a, b) => a - b);
  await evidence(found, clocks);
  expect(clocks.at(-1)).toBeLessThan(CLOCK_MS);
});

test('the keys stay when a VM starts again, and nothing of its identity but what is of a boot changes', async () => {
  const before = await factsOf('c0');
  await host.client.run('vm.restart', { params: { vm: 'c0' } });
  const after = await factsOf('c0');
  for (const fact of ['machineId', 'hostname', 'mac', 'address', 'sshKey'] as const)
    expect(after[fact]).toBe(before[fact]);
  for (const fact of ['random', 'bootId', 'generation'] as const) expect(after[fact]).not.toBe(before[fact]);
});

test('those that waited in a pool are as different, and know what time it is', async () => {
  const set = (size: number) =>
    host.client.call('pool.set', { params: { image: 'ssh' }, body: { size, cpus: 1, memoryMib: 64 } });
  await set(2);
  const ready = async () => (await host.client.call('pool.list'))[0]?.ready;
  await expect.poll(ready, { timeout: 20_000, interval: 50 }).toBe(2);
  await sleep(5 * CLOCK_MS); // in which their clocks stand still
  const vms = await Promise.all(['p0', 'p1'].map((name) => host.client.run('vm.create', { body: body(name) })));
  await set(0);
  const clocks = await Promise.all(vms.map(({ id }) => clockErrorMs(id)));
  expect(Math.max(...clocks)).toBeLessThan(CLOCK_MS);
  const found = [await factsOf('c1'), await factsOf('p0'), await factsOf('p1')];
  for (const fact of FACTS) expect(new Set(found.map((facts) => facts[fact])).size, fact).toBe(3);
  expect(new Set(found.flatMap(({ random }) => random.match(/.{32}/g) ?? [])).size).toBe(3 * 64);
  for (const [index, { name, id, status }] of vms.entries()) {
    expect(status.start?.how).toBe('pool');
    const { mac, address = '' } = status.nics[0] ?? {};
    const machineId = id.replaceAll('-', '');
    expect(found[index + 1]).toMatchObject({ hostname: name, mac, machineId });
    expect(found[index + 1]?.address.split('/')[0]).toBe(address);
    // Nothing is left of what it was called while it waited.
    const { stdout } = await host.client.exec(name, 'cat /etc/hosts /etc/hostname; ip addr; ip route');
    expect(stdout).not.toMatch(/pool|192\.0\.2\./);
  }
  await host.client.run('vm.restart', { params: { vm: 'p0' } });
  const { sshKey, machineId } = await factsOf('p0');
  expect({ sshKey, machineId }).toEqual({ sshKey: found[1]?.sshKey, machineId: found[1]?.machineId });
});

test('without a seed clones draw the same bytes, with one they do not: the comparison can fail', async () => {
  await host.clear();
  const seeded = new Set<string>();
  {
    await using clones = await drawnByBareClones(host);
    for (let count = 0; count < 3; count += 1) seeded.add(await clones.draw({ seeded: true }));
  }
  expect(seeded.size).toBe(3);
  // A kernel reseeds itself a second after the last time, from what an emulated CPU has to offer: a clone that was held up draws
  // after that, and so do all of a template that was itself held up before it was frozen.
  let drewTheSame = false;
  for (let template = 0; template < 4 && !drewTheSame; template += 1) {
    await using clones = await drawnByBareClones(host);
    const unseeded: string[] = [];
    while (unseeded.length < 8 && new Set(unseeded).size === unseeded.length) unseeded.push(await clones.draw({}));
    expect(unseeded[0]).toHaveLength(2048);
    drewTheSame = new Set(unseeded).size < unseeded.length;
  }
  expect(drewTheSame, 'two of them draw the same').toBe(true);
});

async function evidence(found: ReadonlyArray<{ vm: Vm; facts: Facts }>, clocks: readonly number[]): Promise<void> {
  const file = process.env['SKERRY_EVIDENCE'];
  if (file === undefined) return;
  await mkdir(join(file, '..'), { recursive: true });
  const lines = found.map(({ vm, facts }) => {
    const { totalMs } = vm.status.start ?? { totalMs: Number.NaN };
    return `${JSON.stringify({ startMs: totalMs, ...facts, random: `${facts.random.slice(0, 32)}... (1024 bytes)` })}\n`;
  });
  const at = (share: number): string => (clocks[Math.floor((clocks.length - 1) * share)] ?? Number.NaN).toFixed(1);
  const summary = FACTS.map((fact) => `${fact} ${new Set(found.map(({ facts }) => facts[fact])).size}`).join(', ');
  await appendFile(
    file,
    `${new Date().toISOString()}: ${COUNT} clones of one template; different ones: ${summary}; ` +
      `clock wrong by at least (bounds of the round trip): median ${at(0.5)} ms, most ${at(1)} ms\n${lines.join('')}`,
  );
}
