import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { hasTaskEnded, type Vm } from '@skerry/api';
import { startTestHost, type TestHost } from '@skerry/testkit';
import { Random } from '../soak/random.ts';

/** Copies of a running VM, memory and disk: SKERRY_SEED=N for other moments at which the daemon dies. */

const ROUNDS = Number(process.env['SKERRY_ROUNDS'] ?? 4);
const seed = Number(process.env['SKERRY_SEED'] ?? 20_260);

let host: TestHost;
beforeAll(async () => void (host = await startTestHost()));
afterAll(() => host[Symbol.asyncDispose]());

const get = (vm: string): Promise<Vm> => host.client.call('vm.get', { params: { vm } });
const fork = (vm: string, name: string, count = 1): Promise<Vm[]> =>
  host.client.run('vm.fork', { params: { vm }, body: { name, count } }) as Promise<Vm[]>;
const start = (vm: string): Promise<Vm> => host.client.run('vm.start', { params: { vm } });
const remove = (vm: string) => host.client.run('vm.delete', { params: { vm }, query: { force: true } });
const names = async (): Promise<string[]> => (await host.client.call('vm.list')).map(({ name }) => name).toSorted();
async function sh(vm: string, script: string): Promise<string> {
  const { stdout, stderr, exitCode } = await host.client.exec(vm, script);
  expect([exitCode, stderr], script).toEqual([0, '']);
  return stdout.trim();
}

/**
 * When, then who: what was read before the cut and written after it is the same line in both. The files of the kernel and
 * of the agent are read again each time.
 */
const diary = (periodUs: number): string => `(while :; do
    when=$EPOCHREALTIME; read host </proc/sys/kernel/hostname; read generation </run/skerry/generation
    echo "$when $host $generation" >>/run/diary; usleep ${periodUs}
  done) >/dev/null 2>&1 & echo $! >>/run/pids`;
/** Each line is on the disk before the next is written. */
const COUNTER = `(n=0; while :; do n=$((n+1)); echo $n | dd of=/root/counter oflag=append conv=notrunc,fsync; done) >/dev/null 2>&1 & echo $! >>/run/pids`;

/** Many that write often would leave no processor to those who look. */
async function makeOriginal(
  name: string,
  { periodUs = 50_000, ...body }: { periodUs?: number; memoryMib?: number } = {},
): Promise<Vm> {
  const vm = await host.client.run('vm.create', { body: { name, memoryMib: 64, start: true, ...body } });
  await sh(name, `echo of the memory >/run/note; echo of the disk >/root/note; ${diary(periodUs)}`);
  return vm;
}

async function linesWritten(vm: string, file: string): Promise<number> {
  return Number(await sh(vm, `wc -l <${file}`));
}

async function goesOn(vm: string, file = '/run/diary', lines = 1): Promise<void> {
  const before = await linesWritten(vm, file);
  await expect.poll(() => linesWritten(vm, file), { timeout: 20_000 }).toBeGreaterThanOrEqual(before + lines);
}

describe('a fork', () => {
  test('has memory, processes and disk of its original, and is somebody else before its processes go on', async () => {
    const original = await makeOriginal('web', { periodUs: 5000 });
    await sh('web', COUNTER);
    await sleep(300);
    const [copy] = await fork('web', 'web-2');
    expect(copy).toMatchObject({ name: 'web-2', status: { state: 'running', start: { how: 'fork' } } });
    expect((await get('web')).status.process).toEqual(original.status.process);

    for (const vm of ['web', 'web-2']) {
      expect(await sh(vm, 'cat /run/note /root/note; hostname')).toBe(`of the memory\nof the disk\n${vm}`);
      await goesOn(vm);
      await goesOn(vm, '/root/counter');
    }
    const who =
      'cat /etc/machine-id /run/skerry/generation /proc/sys/kernel/random/boot_id /sys/class/net/eth0/address';
    const [one, other] = await Promise.all(['web', 'web-2'].map(async (vm) => (await sh(vm, who)).split('\n')));
    for (const [index, line] of one!.entries()) expect(other?.[index]).not.toBe(line);
    expect(other?.[3]).toBe(copy?.status.nics[0]?.mac);
    const address = copy?.status.nics[0]?.address ?? '';
    expect(await sh('web-2', 'ip -4 -o addr show dev eth0')).toContain(` ${address}/`);
    await sh('web', `ping -c 1 -W 5 ${address} >/dev/null`);

    const diaries = await Promise.all(['web', 'web-2'].map(async (vm) => (await sh(vm, 'cat /run/diary')).split('\n')));
    const [originals = [], copies = []] = diaries;
    const cut = copies.findIndex((line, index) => line !== originals[index]);
    expect(cut).toBeGreaterThan(10);
    const after = copies.slice(cut);
    expect(after.length).toBeGreaterThan(10);
    const mine = `web-2 ${other?.[1]}`;
    expect(after.filter((line) => !line.endsWith(mine))).toEqual([]);
  });

  test('has a disk of its own, whole as of the cut', async () => {
    await sh('web-2', 'echo changed >/root/note');
    expect(await sh('web', 'cat /root/note')).toBe('of the disk');
    // Counted before the sync: the diary's last line may be written, and not yet on the disk.
    const written = Number(await sh('web-2', 'n=$(wc -l </root/counter); sync; echo $n'));
    // As by a power cut: only what was on the disk is there.
    await host.client.run('vm.kill', { params: { vm: 'web-2' } });
    await start('web-2');
    const lines = (await sh('web-2', 'cat /root/counter')).split('\n').map(Number);
    expect(lines.length).toBeGreaterThanOrEqual(written);
    expect(lines).toEqual(lines.map((_, index) => index + 1));
    expect(await sh('web-2', 'dmesg | grep -ci "ext4-fs error" || true')).toBe('0');
  });

  test('has names of its own, whatever programs have made of its original’s files', async () => {
    // Through the link, in its place behind the link, in the place of the link.
    await sh('web', 'echo 10.9.9.9 of-web >>/etc/hosts; echo nameserver 10.9.9.9 >>/etc/resolv.conf');
    await sh('web', 'cd /run/skerry && tr 0-9 a-j <machine-id >new && mv new machine-id');
    await sh('web', 'cd /etc && echo of-web >new && mv new hostname');
    const [copy] = await fork('web', 'named');
    const address = copy?.status.nics[0]?.address;
    expect(await sh('named', 'cat /etc/hostname /etc/machine-id')).toBe(`named\n${copy?.id.replaceAll('-', '')}`);
    expect(await sh('named', 'cat /etc/hosts')).toMatch(new RegExp(`^127.0.0.1 [^]*\\n${address} named.skerry named$`));
    expect(await sh('named', 'cat /etc/resolv.conf')).not.toContain('10.9.9.9');
    expect(await sh('web', 'cat /etc/hostname; tail -n 1 /etc/hosts')).toBe('of-web\n10.9.9.9 of-web');
    await remove('named');
  });

  test('can be forked, too; and a VM twice at once, and several times in one', async () => {
    await remove('web-2');
    await sh('web', `kill $(cat /run/pids); ${diary(50_000)}`);
    // More than three go on from memory that is loaded once.
    const [, , several] = await Promise.all([fork('web', 'left'), fork('web', 'right'), fork('web', 'many', 4)]);
    expect(several.map(({ name }) => name)).toEqual(['many-1', 'many-2', 'many-3', 'many-4']);
    // A container's root may not look into other users' processes.
    const mapsOf = ({ status }: Vm) => readFile(`/proc/${status.process?.pid}/maps`, 'utf8').catch(() => undefined);
    for (const maps of await Promise.all(several.map(mapsOf)))
      if (maps !== undefined) expect(maps).toMatch(/ \/memfd:memory/);
    await fork('left', 'grandchild');
    const all = ['grandchild', 'left', 'many-1', 'many-2', 'many-3', 'many-4', 'right', 'web'];
    for (const vm of all)
      expect(await sh(vm, 'hostname; cat /run/note /root/note')).toBe(`${vm}\nof the memory\nof the disk`);
    for (const vm of all) await goesOn(vm);
    const generations = await Promise.all(
      all.map((vm) => sh(vm, 'cat /run/skerry/generation; head -c 16 /dev/urandom | md5sum')),
    );
    expect(new Set(generations.flatMap((each) => each.split('\n'))).size).toBe(all.length * 2);
    const addresses = (await host.client.call('vm.list')).flatMap(({ status }) =>
      status.nics.map((nic) => nic.address),
    );
    expect(new Set(addresses).size).toBe(addresses.length);
    // What they share is there for each of them until the last has gone.
    await remove('web');
    for (const vm of ['grandchild', 'many-3']) {
      await host.client.run('vm.restart', { params: { vm } });
      expect(await sh(vm, 'cat /root/note; wc -l </root/counter')).toMatch(/^of the disk\n\d{2,}$/);
    }
    await host.clear();
    expect(await host.leftovers()).toEqual([]);
  });
});

describe('a fork is refused', () => {
  beforeAll(() => makeOriginal('busy'));
  afterAll(() => host.clear());

  test.each([
    ['paused', 'pause', 'resume', /skerry resume/],
    ['suspended', 'suspend', 'start', /skerry start/],
    ['stopped', 'kill', 'start', /skerry start/],
  ] as const)('of one that is %s', async (state, verb, back, remedy) => {
    await host.client.run(`vm.${verb}`, { params: { vm: 'busy' } });
    await expect(fork('busy', 'copy')).rejects.toMatchObject({
      code: 'wrong-state',
      message: expect.stringContaining(state),
      remedy: expect.stringMatching(remedy),
    });
    expect(await names()).toEqual(['busy']);
    await host.client.run(`vm.${back}`, { params: { vm: 'busy' } });
  });

  test('under a name that is taken, of which none is made then', async () => {
    await host.client.run('vm.create', { body: { name: 'copy-2', memoryMib: 64 } });
    await expect(fork('busy', 'copy', 3)).rejects.toMatchObject({
      code: 'conflict',
      message: expect.stringContaining('copy-2'),
      remedy: expect.stringMatching(/\S/),
    });
    expect(await names()).toEqual(['busy', 'copy-2']);
    // Asked for twice at once, made once.
    const both = await Promise.allSettled([fork('busy', 'same'), fork('busy', 'same')]);
    expect(both.map(({ status }) => status).toSorted(), JSON.stringify(both)).toEqual(['fulfilled', 'rejected']);
    expect(await names()).toEqual(['busy', 'copy-2', 'same']);
    expect(await sh('same', 'hostname')).toBe('same');
    await remove('same');
    await remove('copy-2');
  });

  test.each([0, 60, 150, 400])('of one that is being deleted, %i ms after it was asked for', async (afterMs) => {
    if (!(await names()).includes('busy')) await makeOriginal('busy');
    const forking = fork('busy', 'copy');
    forking.catch(() => undefined);
    await sleep(afterMs);
    await remove('busy');
    const outcome = await forking.then(
      () => 'made',
      (error: { code: string; remedy?: string; message: string }) => error,
    );
    if (outcome !== 'made') {
      expect(outcome).toMatchObject({ code: expect.stringMatching(/^(wrong-state|not-found|unavailable)$/) });
      expect(outcome).toMatchObject({ remedy: expect.stringMatching(/\S/) });
    } else expect(await sh('copy', 'hostname')).toBe('copy');
    expect(await names()).toEqual(outcome === 'made' ? ['copy'] : []);
    await host.clear();
  });
});

test(`the daemon dies at ${ROUNDS} random moments of a fork (seed ${seed}): the original goes on, forks are whole or gone`, async () => {
  const random = new Random(seed);
  const { status } = await makeOriginal('core', { memoryMib: 128 });
  await sh('core', 'head -c 24000000 /dev/urandom >/run/ballast'); // a cut that takes a while
  const SUM = 'tail -c 100000 /run/ballast | md5sum';
  const sum = await sh('core', SUM);
  for (let round = 1; round <= ROUNDS; round += 1) {
    const afterMs = Math.round(random.next() * 900);
    const asked = host.client.call('vm.fork', { params: { vm: 'core' }, body: { name: 'copy', count: 2 } });
    asked.catch(() => undefined);
    await sleep(afterMs);
    await host.kill9();
    await host.start();
    const what = `round ${round}, killed after ${afterMs} ms`;
    const found = await atRest();
    const copies = found.filter((vm) => vm.name !== 'core');
    expect(
      copies.every((vm) => ['running', 'suspended'].includes(vm.status.state)),
      what,
    ).toBe(true);
    await goesOn('core');
    for (const { name } of copies) {
      await start(name);
      expect(await sh(name, `hostname; cat /run/note; ${SUM}`), what).toBe(`${name}\nof the memory\n${sum}`);
      await goesOn(name, '/run/diary', 5);
      const lines = (await sh(name, `tail -n 5 /run/diary`)).split('\n');
      const generation = await sh(name, 'cat /run/skerry/generation');
      for (const line of lines) expect(line).toMatch(new RegExp(`${name} ${generation}$`));
      await remove(name);
    }
    await goesOn('core');
    expect(await get('core'), what).toMatchObject({ status: { state: 'running', process: status.process } });
    expect(await host.leftovers(), what).toEqual([]);
  }
});

/** Nothing is on its way any more. */
async function atRest(): Promise<Vm[]> {
  await expect
    .poll(
      async () => {
        const tasks = await host.client.call('task.list');
        const vms = await host.client.call('vm.list');
        return (
          tasks.every(hasTaskEnded) &&
          vms.every(({ spec, status }) => status.state === spec.power && status.agent?.connected !== false)
        );
      },
      { timeout: 30_000 },
    )
    .toBe(true);
  return host.client.call('vm.list');
}
