import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Fault, FaultSpecInput, Vm } from '@skerry/api';
import { startTestHost, type TestHost } from '@skerry/testkit';

/** What is made to go wrong is seen in the guest, and is gone after its time, also when no daemon is there to end it. */

let host: TestHost;
beforeAll(async () => {
  host = await startTestHost();
  await host.client.run('vm.create', { body: { name: 'web', memoryMib: 96, start: true } });
});
afterAll(() => host[Symbol.asyncDispose]());

const get = (vm = 'web'): Promise<Vm> => host.client.call('vm.get', { params: { vm } });
const begin = (spec: FaultSpecInput, forMs: number): Promise<Fault> =>
  host.client.call('fault.start', { body: { spec, forMs } });
const look = (fault: string): Promise<Fault> => host.client.call('fault.get', { params: { fault } });
const active = async (): Promise<string[]> =>
  (await host.client.call('fault.list', { query: { all: 'false' } })).map(({ name }) => name);
const clear = (of?: string): Promise<Fault[]> =>
  host.client.call('fault.clear', { body: of === undefined ? {} : { of } });
async function sh(script: string, vm = 'web'): Promise<string> {
  const { stdout, stderr, exitCode } = await host.client.exec(vm, script);
  expect([exitCode, stderr], script).toEqual([0, '']);
  return stdout.trim();
}
const gone = (fault: Fault) =>
  expect.poll(async () => (await look(fault.id)).status.state, { timeout: 20_000 }).not.toBe('active');
/** CPU time that QEMU has used so far, in ticks of 10 ms: utime and stime of proc(5). */
async function cpuTicks(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'latin1');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return Number(fields[11]) + Number(fields[12]);
}
async function used(pid: number, ms: number): Promise<number> {
  const before = await cpuTicks(pid);
  await sleep(ms);
  return (await cpuTicks(pid)) - before;
}

test('CPUs that are frozen go on by themselves, with the daemon killed in the middle', async () => {
  await sh('(while :; do :; done) >/dev/null 2>&1 & echo $! >/run/busy');
  const pid = (await get()).status.process?.pid ?? 0;
  expect(await used(pid, 300)).toBeGreaterThan(0);
  const fault = await begin({ kind: 'freeze', vm: 'web' }, 4000);
  expect((await get()).status).toMatchObject({ state: 'running', faults: [{ fault: fault.name, kind: 'freeze' }] });
  await host.kill9();
  expect(await used(pid, 500)).toBe(0);
  // Nobody is there but what the machine was given.
  await expect.poll(() => used(pid, 200), { timeout: 10_000 }).toBeGreaterThan(0);
  expect(Date.now()).toBeGreaterThan(Date.parse(fault.status.endsAt ?? ''));
  await host.start();
  await gone(fault);
  expect((await look(fault.id)).status).toMatchObject({ state: 'ended', endedAt: fault.status.endsAt });
  expect((await get()).status.faults).toBeUndefined();
  expect(await sh('echo on')).toBe('on');
});

test('a daemon that comes back takes up what is frozen, and a pause holds beyond it', async () => {
  const fault = await begin({ kind: 'freeze', vm: 'web' }, 60_000);
  const pid = (await get()).status.process?.pid ?? 0;
  await host.kill9();
  await host.start();
  expect(await active()).toEqual([fault.name]);
  expect(await used(pid, 300)).toBe(0);
  await host.client.run('vm.pause', { params: { vm: 'web' } });
  await clear('web');
  // The user's pause is another thing than the fault.
  expect(await used(pid, 300)).toBe(0);
  expect((await get()).status.state).toBe('paused');
  const again = await begin({ kind: 'freeze', vm: 'web' }, 60_000).catch((error: Error) => error.message);
  expect(again).toContain('paused');
  await host.client.run('vm.resume', { params: { vm: 'web' } });
  expect(await used(pid, 300)).toBeGreaterThan(0);
  const third = await begin({ kind: 'freeze', vm: 'web' }, 60_000);
  await host.client.run('vm.pause', { params: { vm: 'web' } });
  await host.client.run('vm.resume', { params: { vm: 'web' } });
  expect((await get()).status.state).toBe('running');
  expect(await used(pid, 300)).toBe(0);
  await clear(third.name);
  expect(await used(pid, 300)).toBeGreaterThan(0);
  await sh('kill $(cat /run/busy)');
});

test('the guest is short of CPU and memory, and its clock is wrong, for a while; without a daemon, too', async () => {
  const freeKib = async (): Promise<number> => Number(await sh("awk '/MemAvailable/ {print $2}' /proc/meminfo"));
  const offS = async (): Promise<number> => Number(await sh('date +%s')) - Date.now() / 1000;
  const busyMs = async (): Promise<number> => {
    const ticks = async () => Number(await sh("awk '/^cpu / {print $2 + $3 + $4}' /proc/stat"));
    const before = await ticks();
    await sleep(1000);
    return ((await ticks()) - before) * 10;
  };
  const [freeBefore, offBefore, pid] = [await freeKib(), await offS(), (await get()).status.process?.pid ?? 0];
  const memory = await begin({ kind: 'memory', vm: 'web', amount: 0.3 }, 6000);
  const clock = await begin({ kind: 'clock', vm: 'web', amount: -7200 }, 6000);
  const cpu = await begin({ kind: 'cpu', vm: 'web', amount: 0.6 }, 6000);
  expect(freeBefore - (await freeKib())).toBeGreaterThan(15_000);
  expect(Math.abs((await offS()) - offBefore + 7200)).toBeLessThan(3);
  // Once more, where the host's processor had to be shared.
  await expect.poll(busyMs, { timeout: 4000, interval: 1 }).toBeGreaterThan(400);
  expect((await get()).status.faults?.map(({ kind }) => kind)).toEqual(['memory', 'clock', 'cpu']);
  await host.kill9();
  await expect.poll(() => used(pid, 400), { timeout: 15_000 }).toBeLessThan(20);
  await host.start();
  for (const fault of [memory, clock, cpu]) await gone(fault);
  await expect.poll(async () => freeBefore - (await freeKib()), { timeout: 5000 }).toBeLessThan(10_000);
  expect(Math.abs((await offS()) - offBefore)).toBeLessThan(3);
});

test('a crash is a panic of the kernel, and the restart policy acts', async () => {
  await host.client.call('vm.set', {
    params: { vm: 'web' },
    body: { restart: { policy: 'on-failure', backoffMs: 100 } },
  });
  const before = (await get()).status.process?.pid;
  const frozen = await begin({ kind: 'freeze', vm: 'web' }, 60_000);
  await clear();
  const fault = await host.client.call('fault.start', { body: { spec: { kind: 'crash', vm: 'web' } } });
  expect(fault.status).toMatchObject({ state: 'ended', message: expect.stringContaining('panicked') });
  // The process that panicked may be there for a moment yet.
  const runsAnew = async (): Promise<boolean> => {
    const { state, process } = (await get()).status;
    return state === 'running' && process !== undefined && process.pid !== before;
  };
  await expect.poll(runsAnew, { timeout: 20_000 }).toBe(true);
  const events = await host.client.call('event.list', { query: {} });
  const told = events.filter(({ type }) => type.startsWith('fault.'));
  expect(told.every(({ subject }) => subject?.name === 'web')).toBe(true);
  expect(told.filter(({ data }) => (data as { fault: Fault }).fault.id === frozen.id).map(({ type }) => type)).toEqual([
    'fault.started',
    'fault.ended',
  ]);
});

test('disks are slow, then fail, and are as before; without a daemon, too', async () => {
  const readMs = async (count: number, skip: number): Promise<number> => {
    const [before, after] = (
      await sh(
        `cut -d' ' -f1 /proc/uptime; dd if=/dev/vda of=/dev/null bs=4k count=${count} skip=${skip} iflag=direct 2>/dev/null; cut -d' ' -f1 /proc/uptime`,
      )
    ).split('\n');
    return (Number(after) - Number(before)) * 1000;
  };
  // What the test itself runs is in memory.
  await sh('cat /bin/busybox >/dev/null');
  const reads = 25;
  const slow = await begin({ kind: 'disk-latency', vm: 'web', amount: 50 }, 60_000);
  // One after the other; what comes in the first 100 ms passes.
  const slowMs = await readMs(reads, 1000);
  expect(slowMs / (reads - 2)).toBeGreaterThan(45);
  expect(slowMs / (reads - 2)).toBeLessThan(100);
  await expect(host.client.run('vm.fork', { params: { vm: 'web' }, body: { name: 'copy' } })).rejects.toThrow(/fault/);
  await clear(slow.name);
  expect(await readMs(reads, 2000)).toBeLessThan(slowMs / 2);

  const read = 'dd if=/dev/vda of=/dev/null bs=4k count=1 skip=3000 iflag=direct 2>&1 && echo read';
  const failing = await begin({ kind: 'disk-error', vm: 'web' }, 3000);
  const { stdout } = await host.client.exec('web', read);
  expect(stdout).toMatch(/I.O error|Input.output error/);
  await host.kill9();
  await sleep(Math.max(0, Date.parse(failing.status.endsAt ?? '') + 500 - Date.now()));
  await host.start();
  await gone(failing);
  expect(await sh(read)).toContain('read');
  // Some blocks fail, by the seed, and the others do not.
  const some = await begin({ kind: 'disk-error', vm: 'web', amount: 0.0009, seed: 7 }, 60_000);
  const scan = 'dd if=/dev/vda of=/dev/null bs=4k count=6000 conv=noerror 2>&1 | grep -c error; true';
  const found = await sh(scan);
  expect(Number(found)).toBeGreaterThan(1);
  await clear(some.name);
  expect(await sh(scan)).toBe('0');
  expect(await sh('echo text >/root/after && sync && cat /root/after')).toBe('text');
});

test('frames are late, cables are out, and groups are parted, for a while; over a restart of the daemon, too', async () => {
  const vm = { image: 'micro', cpus: 1, memoryMib: 64 };
  const spec = { vms: { a: vm, b: vm, c: vm }, networks: { default: {} } };
  await host.client.run('node.up', { body: { name: 'trio', spec } });
  /** The shortest of some round trips, in ms: a busy machine adds to each. */
  const roundMs = async (): Promise<number> => {
    const said = await sh('ping -q -c 8 -i 0.05 b', 'trio/a');
    return Number(/min\/avg\/max = ([\d.]+)/.exec(said)?.[1]);
  };
  const reaches = async (from: string, to: string): Promise<boolean> =>
    (await host.client.exec(`trio/${from}`, `ping -q -c 2 -i 0.2 -W 1 ${to} >/dev/null`)).exitCode === 0;
  expect(await roundMs()).toBeLessThan(40);
  const late = await host.cli(['link', 'impair', 'trio/a:eth0', '--delay', '40ms', '--dir', 'a2b', '--seed', '7']);
  expect(late).toMatchObject({ exitCode: 0, stdout: expect.stringMatching(/delay 40ms a2b, ends in .*, seed 7\n/) });
  const ms = await roundMs();
  expect(ms).toBeGreaterThanOrEqual(40);
  expect(ms).toBeLessThan(65);
  await host.kill9();
  await host.start();
  expect(await roundMs()).toBeGreaterThanOrEqual(40);
  await clear('trio');
  expect(await roundMs()).toBeLessThan(40);

  const parted = await begin({ kind: 'partition', node: 'trio', groups: [['a', 'b'], ['c']] }, 60_000);
  expect(await Promise.all([reaches('a', 'b'), reaches('a', 'c'), reaches('c', 'b')])).toEqual([true, false, false]);
  const out = await begin({ kind: 'link-down', nic: 'trio/b:eth0' }, 3000);
  expect(await sh('cat /sys/class/net/eth0/carrier', 'trio/b')).toBe('0');
  await host.kill9();
  await sleep(Math.max(0, Date.parse(out.status.endsAt ?? '') + 300 - Date.now()));
  await host.start();
  expect(await sh('cat /sys/class/net/eth0/carrier', 'trio/b')).toBe('1');
  await gone(out);
  expect(await active()).toEqual([parted.name]);
  expect(await Promise.all([reaches('a', 'b'), reaches('a', 'c')])).toEqual([true, false]);
  await clear(parted.id);
  expect(await reaches('a', 'c')).toBe(true);
  // What the node declares has no end, and is taken up by what runs.
  const wires = { ...spec, impair: [{ nic: 'b:eth0', dir: 'b2a' as const, impairment: { delayMs: 40 } }] };
  const up = { body: { name: 'trio', spec: wires } };
  expect((await host.client.call('node.plan', up)).some(({ kind }) => kind === 'node')).toBe(true);
  await host.client.run('node.up', up);
  expect(await roundMs()).toBeGreaterThanOrEqual(40);
  expect((await host.client.call('node.plan', up)).every(({ action }) => action === 'keep')).toBe(true);
  // What is done to a NIC ends with its VM.
  await begin({ kind: 'impair', nic: 'trio/a:eth0', impairment: { loss: 0.5 } }, 60_000);
  await host.client.run('node.delete', { params: { node: 'trio' }, query: { force: 'true' } });
  await expect.poll(active, { timeout: 5000 }).toEqual([]);
});

test('a cable is out until the last fault of it is over: without a daemon, and in a guest that starts again', async () => {
  const out = (forMs: number): Promise<Fault> => begin({ kind: 'link-down', nic: 'web:eth0' }, forMs);
  const carrier = (vm = 'web'): Promise<string> => sh('cat /sys/class/net/eth0/carrier', vm);
  await sh('(while :; do echo $(cat /sys/class/net/eth0/carrier /proc/uptime); sleep 0.1; done) >/run/seen 2>&1 &');
  const [first, second] = [await out(1000), await out(3000)];
  const endsAtMs = Date.parse(second.status.endsAt ?? '');
  await gone(first);
  expect(await carrier()).toBe('0');
  await host.kill9();
  await sleep(Math.max(0, endsAtMs + 1500 - Date.now()));
  const startedAtMs = Date.now();
  await host.start();
  const askedAtMs = Date.now();
  const seen = (await sh('cat /run/seen /proc/uptime')).split('\n').map((line) => line.split(' ').map(Number));
  const nowS = seen.pop()?.[0] ?? 0;
  const agoMs = (nowS - (seen.findLast(([is]) => is === 0)?.[1] ?? 0)) * 1000;
  // The last time that it was out: when the second had just not ended, and no daemon was there.
  expect(Date.now() - agoMs).toBeGreaterThan(endsAtMs - 500);
  expect(askedAtMs - agoMs).toBeLessThan(startedAtMs);
  await gone(second);

  const third = await out(60_000);
  await host.client.run('vm.restart', { params: { vm: 'web' } });
  expect(await carrier()).toBe('0');
  await host.client.run('vm.fork', { params: { vm: 'web' }, body: { name: 'copy' } });
  // A copy begins without the faults of its original.
  expect([await carrier('copy'), await carrier()]).toEqual(['1', '0']);
  await host.client.run('vm.delete', { params: { vm: 'copy' }, query: { force: true } });
  await host.client.run('vm.suspend', { params: { vm: 'web' } });
  await host.client.run('vm.start', { params: { vm: 'web' } });
  expect(await carrier()).toBe('0');
  await host.client.run('vm.suspend', { params: { vm: 'web' } });
  await clear(third.name);
  await host.client.run('vm.start', { params: { vm: 'web' } });
  expect(await carrier()).toBe('1');
});

test('a wire that is out is out at both ends, whoever starts meanwhile and whether a daemon is there', async () => {
  await host.client.run('vm.create', { body: { name: 'peer', memoryMib: 64, start: true } });
  await host.client.run('link.create', { body: { ends: ['web:eth1', 'peer:eth1'] } });
  const carriers = (): Promise<string[]> =>
    Promise.all(['web', 'peer'].map((vm) => sh('cat /sys/class/net/eth1/carrier', vm)));
  expect(await carriers()).toEqual(['1', '1']);
  const out = await begin({ kind: 'link-down', nic: 'web:eth1' }, 60_000);
  expect(await carriers()).toEqual(['0', '0']);
  await host.client.run('vm.restart', { params: { vm: 'peer' } });
  expect(await carriers()).toEqual(['0', '0']);
  await clear(out.name);
  expect(await carriers()).toEqual(['1', '1']);

  const set = (vm: string, link: 'up' | 'down') =>
    host.client.run('vm.nic.set', { params: { vm, nic: 'eth1' }, body: { link } });
  await set('peer', 'down');
  expect(await carriers()).toEqual(['0', '0']);
  await set('web', 'down');
  await set('peer', 'up');
  expect(await carriers()).toEqual(['0', '0']);
  await host.client.run('vm.suspend', { params: { vm: 'peer' } });
  await set('web', 'up');
  await host.client.run('vm.start', { params: { vm: 'peer' } });
  expect(await carriers()).toEqual(['1', '1']);

  const last = await begin({ kind: 'link-down', nic: 'peer:eth1' }, 2000);
  await host.kill9();
  await sleep(Math.max(0, Date.parse(last.status.endsAt ?? '') + 300 - Date.now()));
  await host.start();
  expect(await carriers()).toEqual(['1', '1']);
  await gone(last);
  await host.client.run('vm.delete', { params: { vm: 'peer' }, query: { force: true } });
});

test('what can not be is refused, with what to type', async () => {
  const cases: Array<readonly [line: string, exitCode: number, message: RegExp, remedy: RegExp]> = [
    ['link impair web:eth7 --delay 1ms', 3, /eth7/, /eth0/],
    ['link impair web:eth0 --loss 200%', 2, /200%/, /100%/],
    ['link impair web --loss 1%', 2, /'web'/, /web:eth0/],
    ['link impair web:eth0 --jitter 1ms', 2, /Nothing/, /--delay/],
    ['fault partition nothing a/b --for 1s', 3, /nothing/, /node list/],
    ['fault vm nobody freeze --for 1s', 3, /nobody/, /skerry list/],
    ['fault vm web freeze', 2, /needs an end/, /--for 30s/],
    ['fault vm web freeze --for long', 2, /'long'/, /30s/],
    ['fault vm web flood --for 1s', 2, /flood/, /freeze/],
    ['fault vm web memory --amount 200% --for 1s', 2, /100%/, /--amount/],
    ['fault vm web freeze --amount 1 --for 1s', 2, /amount/, /out/],
    ['fault clear nothing', 3, /nothing/, /fault list/],
  ];
  const check = async ([line, exitCode, message, remedy]: (typeof cases)[number]): Promise<void> => {
    const result = await host.cli(line.split(' '));
    expect(result, line).toMatchObject({ exitCode, stdout: '' });
    expect(result.stderr).toMatch(message);
    expect(result.stderr).toMatch(remedy);
  };
  await Promise.all(cases.map(check));
  expect(await active()).toEqual([]);
});

test('a VM that is stopped has nothing to go wrong in it', async () => {
  await host.client.run('vm.stop', { params: { vm: 'web' }, body: {} });
  const result = await host.cli(['fault', 'vm', 'web', 'freeze', '--for', '1s']);
  expect(result).toMatchObject({ exitCode: 4 });
  expect(result.stderr).toMatch(/skerry start web/);
  const link = begin({ kind: 'link-down', nic: 'web:eth0' }, 1000);
  await expect(link).rejects.toMatchObject({ code: 'wrong-state' });
});
