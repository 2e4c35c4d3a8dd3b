import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { NicInfo, Vm } from '@skerry/api';
import { startTestHost, type TestHost } from '@skerry/testkit/host';
import { frames, macOf } from './pcap.ts';

/** NICs that come and go while a VM runs, seen from inside its guest. */

let host: TestHost;
let lab: string;
beforeAll(async () => {
  host = await startTestHost();
  const vm = { image: 'micro', cpus: 1, memoryMib: 64, nics: [{ network: 'lab' }] };
  await host.client.run('node.up', {
    body: { name: 'room', spec: { vms: { db: vm, web: vm }, networks: { lab: { egress: false } } } },
  });
  lab = (await get('room/db')).status.nics[0]?.address ?? '';
  await host.client.run('vm.create', { body: { name: 'web', memoryMib: 64, start: true } });
});
afterAll(async () => {
  await host.client.run('vm.delete', { params: { vm: 'web' }, query: { force: true } }).catch(() => undefined);
  await host[Symbol.asyncDispose]();
});

const get = (vm: string): Promise<Vm> => host.client.call('vm.get', { params: { vm } });
const list = (vm = 'web'): Promise<NicInfo[]> => host.client.call('vm.nic.list', { params: { vm } });
const add = (body: object, vm = 'web') => host.client.run('vm.nic.add', { params: { vm }, body: body as never });
async function sh(script: string, vm = 'web'): Promise<string> {
  const { stdout, stderr, exitCode } = await host.client.exec(vm, script);
  expect([exitCode, stderr], script).toEqual([0, '']);
  return stdout.trim();
}
const pings = async (address: string, vm = 'web'): Promise<boolean> =>
  (await host.client.exec(vm, `ping -c 1 -W 2 ${address}`)).exitCode === 0;
const ofGuest = (file: string, nic = 'eth1'): Promise<string> => sh(`cat /sys/class/net/${nic}/${file}`);

test('as typed: one that runs has a NIC at once, and pings through it', async () => {
  expect(await ofGuest('operstate')).toBe('down');
  const mac = '52:54:00:aa:bb:01';
  const typed = await host.cli(['nic', 'add', 'web', '--network', 'room-lab', '--mac', mac]);
  expect(typed).toMatchObject({
    exitCode: 0,
    stdout: expect.stringMatching(/^web eth1: 10\.213\.\d+\.\d+ on room-lab/),
  });
  expect(await pings(lab)).toBe(true);
  expect(await ofGuest('address')).toBe(mac);
  expect((await host.cli(['nic', 'list', 'web'])).stdout).toMatch(/eth0 +default[^]*eth1 +room-lab .*up/);
  // It is heard under its name by others, who asked nobody.
  expect(await pings('web', 'room/db')).toBe(true);
});

test('what can not be is refused before anything changes, and what to do is said', async () => {
  const before = await list();
  const wrong = [
    [{ network: 'nowhere' }, 'not-found', /network/],
    [{ network: 'room-lab', vlan: 5000 }, 'invalid', /VLAN is 1 to 4094/],
    [{ network: 'room-lab', mac: '53:54:00:00:00:01' }, 'invalid', /group/],
    [{ network: 'room-lab' }, 'unsupported', /skerry stop web/],
    [{ network: 'room-lab', index: 1 }, 'in-use', /eth2/],
  ] as const;
  for (const [body, code, text] of wrong) {
    const error = await add(body).catch((problem: unknown) => problem);
    expect(error).toMatchObject({ code });
    const { message, remedy } = error as { message: string; remedy: string };
    expect(`${message} ${remedy}`).toMatch(text);
  }
  const set = (nic: string, body: object) => host.client.run('vm.nic.set', { params: { vm: 'web', nic }, body });
  for (const [address, code] of [
    ['192.0.2.9', 'invalid'],
    [lab, 'in-use'],
  ] as const)
    await expect(set('eth1', { address })).rejects.toMatchObject({ code });
  await expect(set('eth1', { mac: (await get('room/db')).status.nics[0]?.mac })).rejects.toMatchObject({
    code: 'in-use',
  });
  await expect(set('eth5', { link: 'down' })).rejects.toMatchObject({ code: 'not-found' });
  // Its node says what it has.
  await expect(host.client.run('vm.nic.remove', { params: { vm: 'room/db', nic: 'eth0' } })).rejects.toMatchObject({
    code: 'refused',
  });
  expect(await list()).toEqual(before);
});

test('a link, as typed: both ends ping at once; it goes with its NICs', async () => {
  // web's spare NIC is taken: in its place comes a link.
  await host.client.run('vm.nic.remove', { params: { vm: 'web', nic: 'eth1' } });
  const typed = await host.cli(['link', 'create', 'web:eth1', 'room/db:eth1']);
  expect(typed).toMatchObject({ exitCode: 0, stdout: expect.stringMatching(/^web-eth1-room-db-eth1: .*10\.214\.0/) });
  const [link] = await host.client.call('link.list');
  const of = (vm: string) => link?.ends.find((end) => end.vm === vm)?.address ?? '';
  expect(await pings(of('room/db'))).toBe(true);
  expect(await pings(of('web'), 'room/db')).toBe(true);
  // Only its NICs: nobody answers for the rest of its addresses.
  expect(link?.subnet).toMatch(/\/30$/);
  expect((await host.cli(['network', 'list'])).stdout).toMatch(/web-eth1-room-db-eth1 +link +10\.214/);

  const wrong = [
    [['link', 'create', 'web:eth1', 'room/db:eth1'], 4, /web has an eth1 already[^]*eth2/],
    [['network', 'delete', 'web-eth1-room-db-eth1'], 4, /skerry link delete/],
  ] as const;
  for (const [argv, exitCode, text] of wrong) {
    const refused = await host.cli([...argv]);
    expect([refused.exitCode, refused.stderr], argv.join(' ')).toEqual([exitCode, expect.stringMatching(text)]);
  }
  for (const [ends, code, text] of [
    [['web:eth2', 'web:eth3'], 'invalid', /Both ends/],
    [['web:eth2', 'nobody:eth1'], 'not-found', /no VM 'nobody'/],
    [['web:eth2', 'room/db'], 'invalid', /VM:NIC/],
    [['web:eth2', 'room/db:eth2'], 'unsupported', /skerry stop web/],
  ] as const) {
    const error = await host.client.link(ends[0], ends[1]).catch((problem: unknown) => problem);
    expect([error, String(error) + (error as { remedy: string }).remedy]).toMatchObject([
      { code },
      expect.stringMatching(text),
    ]);
  }
  await expect(host.client.run('link.delete', { params: { link: 'web:eth0' } })).rejects.toMatchObject({
    code: 'not-found',
  });
  expect(await host.client.call('link.list')).toEqual([link]);

  // Its node leaves what was added by hand alone.
  const { id } = await get('room/db');
  const { spec } = await host.client.call('node.get', { params: { node: 'room' } });
  await host.client.run('node.up', { body: { name: 'room', spec } });
  expect((await get('room/db')).id).toBe(id);
  expect(await pings(of('room/db'))).toBe(true);

  expect((await host.cli(['link', 'delete', 'room/db:eth1'])).exitCode).toBe(0);
  expect(await host.client.call('link.list')).toEqual([]);
  expect((await list()).map(({ name }) => name)).toEqual(['eth0']);
  expect(await ofGuest('operstate')).toBe('down');

  // With a VM at an end of it goes all of it.
  await host.client.run('vm.create', { body: { name: 'end', memoryMib: 64 } });
  await host.client.link('web:eth1', 'end:eth1');
  expect((await host.cli(['delete', 'end'])).exitCode).toBe(0);
  expect(await host.client.call('link.list')).toEqual([]);
  expect((await list()).map(({ name }) => name)).toEqual(['eth0']);
  expect(await ofGuest('operstate')).toBe('down');
});

test('a link that is half made when the daemon is killed is taken back by the next one', async () => {
  for (const afterMs of [20, 60]) {
    await host.client.call('link.create', { body: { ends: ['web:eth1', 'room/db:eth1'] } });
    await new Promise((resolve) => setTimeout(resolve, afterMs));
    await host.kill9();
    await host.start();
    await expect
      .poll(async () => (await host.client.call('link.list')).every(({ message }) => message === undefined), {
        timeout: 10_000,
      })
      .toBe(true);
    const made = (await host.client.call('link.list')).length;
    for (const vm of ['web', 'room/db']) expect(await list(vm)).toHaveLength(1 + made);
    if (made > 0) await host.client.run('link.delete', { params: { link: 'web:eth1' } });
  }
  await add({ network: 'room-lab', mac: '52:54:00:aa:bb:01' });
});

test('captures, as typed: pcap of what passed, kept in a ring or as it comes', async () => {
  const typed = await host.cli(['capture', 'start', 'web:eth1', '--ring', '256Ki']);
  expect(typed).toMatchObject({ exitCode: 0, stdout: expect.stringContaining('web:eth1') });
  await expect(
    host.client.call('capture.start', { params: { vm: 'web', nic: 'eth1' }, body: {} }),
  ).rejects.toMatchObject({
    code: 'in-use',
  });
  expect(await pings(lab)).toBe(true);
  const read = async (...options: string[]) => {
    const to = join(host.dir, 'read.pcap');
    expect(await host.cli(['capture', 'read', 'web:eth1', '--to', to, ...options])).toMatchObject({ exitCode: 0 });
    return frames(await readFile(to));
  };
  const eth1 = (await list()).find(({ name }) => name === 'eth1');
  const echoes = (all: readonly Buffer[]) =>
    all
      .filter((frame) => frame.readUInt16BE(12) === 0x0800 && frame[23] === 1)
      .map((frame) => [frame[34], macOf(frame)]);
  // The switch writes a moment after it has carried them: echo (8) and its answer (0), RFC 792.
  await expect.poll(async () => echoes(await read()).length, { timeout: 5000 }).toBe(2);
  expect(echoes(await read())).toEqual([
    [8, eth1?.mac],
    [0, (await get('room/db')).status.nics[0]?.mac],
  ]);

  // Of more than the ring holds the last is kept.
  await sh(`ping -q -c 1 -s 1400 ${lab} >/dev/null; ping -q -A -c 400 -s 1400 ${lab} >/dev/null`);
  await expect
    .poll(async () => (await host.client.call('capture.list'))[0]?.frames, { timeout: 5000 })
    .toBeGreaterThan(400);
  const [running] = await host.client.call('capture.list');
  expect(running?.keptBytes).toBeLessThanOrEqual(256 * 1024);
  expect((await read()).length).toBeLessThan(running?.frames ?? 0);

  // The next daemon knows of it; stopped, what was kept stays.
  await host.kill9();
  await host.start();
  expect((await host.client.call('capture.list')).map(({ state }) => state)).toEqual(['running']);
  // Into a pipe: what is kept, and then what comes, until the capture ends.
  const piped = host.startCli(['capture', 'read', 'web:eth1', '--to', '-']);
  const seen: Buffer[] = [];
  piped.stdout.on('data', (chunk: Buffer) => seen.push(chunk));
  const exited = once(piped, 'close');
  const bytes = (): number => Buffer.concat(seen).length;
  await expect.poll(bytes, { timeout: 5000 }).toBeGreaterThan(50_000);
  const keptBytes = bytes();
  expect(await pings(lab)).toBe(true);
  await expect.poll(bytes, { timeout: 5000 }).toBeGreaterThanOrEqual(keptBytes + 2 * (16 + 98));
  expect((await host.cli(['capture', 'stop', 'web:eth1'])).exitCode).toBe(0);
  expect(await exited).toEqual([0, null]);
  expect(echoes(frames(Buffer.concat(seen))).length).toBeGreaterThan(20);
  expect((await read()).length).toBeGreaterThan(10);

  // Without one that runs: as it comes, until the reader has enough.
  const live = await host.client.download('capture.read', {
    params: { vm: 'web', nic: 'eth1' },
    query: { follow: true },
  });
  const got: Buffer[] = [];
  live.on('data', (chunk: Buffer) => got.push(chunk));
  live.on('error', () => undefined);
  expect(await pings(lab)).toBe(true);
  await expect.poll(() => echoes(frames(Buffer.concat(got))).length, { timeout: 5000 }).toBe(2);
  live.destroy();
  // Broken off in the middle, which is how it ends.
  const watched = host.startCli(['capture', 'read', 'web:eth1', '--follow']);
  let complaint = '';
  watched.stderr.on('data', (chunk: Buffer) => (complaint += String(chunk)));
  await once(watched.stdout, 'data');
  watched.kill('SIGTERM');
  expect([...(await once(watched, 'close')), complaint]).toEqual([130, null, '']);
  await expect(
    host.client.call('capture.start', { params: { vm: 'web', nic: 'eth7' }, body: {} }),
  ).rejects.toMatchObject({ code: 'not-found' });
  await expect(host.client.download('capture.read', { params: { vm: 'web', nic: 'eth0' } })).rejects.toMatchObject({
    code: 'not-found',
  });
});

test('its cable is pulled and put back, its address and MAC are changed: the guest sees it', async () => {
  expect((await host.cli(['nic', 'set', 'web', '--network', 'room-lab', '--link', 'down'])).exitCode).toBe(0);
  expect(await ofGuest('carrier')).toBe('0');
  expect(await pings(lab)).toBe(false);
  expect((await host.cli(['nic', 'set', 'web', 'eth1', '--link', 'up'])).exitCode).toBe(0);
  expect(await ofGuest('carrier')).toBe('1');
  // Linux looks at carriers once a second, and sends nothing until then (net/core/link_watch.c).
  await expect.poll(() => pings(lab), { timeout: 5000 }).toBe(true);

  const address = lab.replace(/\d+$/, '77');
  const changed = await host.cli(['nic', 'set', 'web', 'eth1', '--ip', address, '--mac', '52:54:00:AA:BB:02']);
  expect(changed).toMatchObject({ exitCode: 0 });
  expect(await sh('ip -o -4 addr show eth1')).toContain(`${address}/24`);
  expect(await sh('ip -o -4 addr show eth1 | wc -l')).toBe('1');
  expect(await ofGuest('address')).toBe('52:54:00:aa:bb:02');
  expect(await pings(lab)).toBe(true);
});

test('a fork, and one whose memory was saved, have it as well', async () => {
  await host.client.run('vm.fork', { params: { vm: 'web' }, body: { name: 'copy', count: 1 } });
  expect(await pings(lab, 'copy')).toBe(true);
  const [own, copied] = [await list(), await list('copy')];
  expect(copied.map(({ network }) => network)).toEqual(own.map(({ network }) => network));
  expect(await sh('cat /sys/class/net/eth1/address', 'copy')).toBe(copied[1]?.mac);
  await host.client.run('vm.delete', { params: { vm: 'copy' }, query: { force: true } });

  await host.client.run('vm.suspend', { params: { vm: 'web' } });
  await expect(add({ network: 'room-lab' })).rejects.toMatchObject({ code: 'wrong-state' });
  await host.client.run('vm.start', { params: { vm: 'web' } });
  expect(await pings(lab)).toBe(true);
});

test('removed, its device is a spare one again; of two the other keeps its name', async () => {
  await sh('ip addr add 198.51.100.7/24 dev eth1');
  expect((await host.cli(['nic', 'remove', 'web', '--network', 'room-lab'])).exitCode).toBe(0);
  expect(await pings(lab)).toBe(false);
  expect(await sh('ip -o addr show eth1 | wc -l')).toBe('0');
  expect(await ofGuest('operstate')).toBe('down');
  expect(await sh('cat /etc/resolv.conf | grep -c nameserver')).toBe('1');

  const again = await add({ network: 'room-lab' });
  expect(again.name).toBe('eth1');
  expect(await pings(lab)).toBe(true);
  await host.client.run('vm.nic.remove', { params: { vm: 'web', nic: 'eth0' } });
  expect((await list()).map(({ name }) => name)).toEqual(['eth1']);
  expect(await pings(lab)).toBe(true);
});

test('what a daemon had begun when it was killed, the next one ends', async () => {
  const before = await list();
  for (const round of [0, 1]) {
    const task = await host.client.call('vm.nic.add', { params: { vm: 'web' }, body: { network: 'default' } });
    await new Promise((resolve) => setTimeout(resolve, round * 40));
    await host.kill9();
    await host.start();
    expect(task.state).toBeDefined();
    await expect
      .poll(async () => (await get('web')).status.nics.every(({ pending }) => pending === undefined), {
        timeout: 10_000,
      })
      .toBe(true);
    expect(await pings(lab)).toBe(true);
    const names = (await list()).map(({ name }) => name);
    // Whole, or not at all.
    expect([['eth1'], ['eth0', 'eth1']]).toContainEqual(names);
    expect(await ofGuest('operstate', 'eth0')).toBe(names.length === 2 ? 'up' : 'down');
    if (names.length === 2) await host.client.run('vm.nic.remove', { params: { vm: 'web', nic: 'eth0' } });
  }
  expect(await list()).toEqual(before);
});

test('one that is stopped has it when it starts, with a spare one again, and its cable as it was asked', async () => {
  await host.client.run('vm.stop', { params: { vm: 'web' }, body: {} });
  const nic = await add({ network: 'room-lab', link: 'down', index: 2 });
  expect(nic).toMatchObject({ name: 'eth2', link: 'down' });
  await expect(add({ network: 'room-lab', address: nic.address })).rejects.toMatchObject({ code: 'in-use' });
  const { status } = await host.client.run('vm.start', { params: { vm: 'web' } });
  expect(status.start).toMatchObject({ how: 'clone', nicDevices: 3 });
  expect(await ofGuest('address', 'eth2')).toBe(nic.mac);
  expect(await ofGuest('carrier', 'eth2')).toBe('0');
  expect(await ofGuest('operstate', 'eth0')).toBe('down');
  expect((await add({ network: 'default' })).name).toBe('eth0');
  expect(await pings(lab)).toBe(true);
});

test('its file names its networks: a NIC whose line goes is taken out, one whose line comes is put in', async () => {
  const before = await list();
  const networks = before.map(({ network }) => network);
  const last = before.at(-1)?.name ?? '';
  const shown = (await host.cli(['show', '-o', 'yaml', 'web'])).stdout;
  const apply = (text: string) => host.cli(['apply', '-f', '-'], { input: text });
  const lines = /(?:networks|nics):\n(?: +.*(?:\n|$))+/;
  expect(shown).toMatch(lines);
  const on = (wanted: readonly string[]): string => shown.replace(lines, `networks: [${wanted.join()}]\n`);
  for (const same of [shown, on(networks), shown.replace(lines, '')])
    expect((await apply(same)).stdout).toBe('web: unchanged\n');
  expect(await list()).toEqual(before);

  // In full: what else a NIC is, which is seen by the guest that runs, and is in the file from then on.
  const inFull = (more: string): string =>
    shown.replace(lines, `nics:\n${networks.map((network) => `  - network: ${network}\n`).join('')}${more}`);
  expect((await apply(inFull('    limit: 8mbit\n    link: down\n'))).stdout).toBe('web: nics changed\n');
  expect((await list()).at(-1)).toEqual({ ...before.at(-1), rateKbit: 8000, link: 'down' });
  expect(await ofGuest('carrier', last)).toBe('0');
  const full = (await host.cli(['show', '-o', 'yaml', 'web'])).stdout;
  expect(full).toMatch(/limit: 8mbit\n +link: down/);
  expect((await apply(full)).stdout).toBe('web: unchanged\n');
  expect((await apply(inFull(''))).stdout).toBe('web: nics changed\n');
  expect(await list()).toEqual(before.with(-1, { ...before.at(-1)!, link: 'up' }));

  expect((await apply(on(networks.slice(0, -1)))).stdout).toBe('web: networks changed\n');
  expect(await list()).toEqual(before.slice(0, -1));
  expect(await ofGuest('operstate', last)).toBe('down');

  expect((await apply(shown)).stdout).toBe('web: networks changed\n');
  const after = await list();
  expect(after.slice(0, -1)).toEqual(before.slice(0, -1));
  expect(await ofGuest('address', last)).toBe(after.at(-1)?.mac);
  expect(await pings(lab)).toBe(true);
  for (const wrong of [networks.toReversed(), [...networks, 'room-lab'], ['gone']])
    expect((await apply(on(wrong))).exitCode, wrong.join()).not.toBe(0);
  expect(await list()).toEqual(after);
});

test('links of a node file: up makes them once, a fork has its own, and they go with the node', async () => {
  const file = join(host.dir, 'pair.yaml');
  const vms = '{ a: { memory: 64Mi }, b: { memory: 64Mi } }';
  await writeFile(file, `apiVersion: skerry/v1\nname: pair\nvms: ${vms}\nlinks: [[a:eth1, b:eth1]]\n`);
  expect((await host.cli(['up', file])).exitCode).toBe(0);
  const links = async () => await host.client.call('link.list');
  const [link] = await links();
  expect(link).toMatchObject({ name: 'pair-a-eth1-b-eth1', node: 'pair' });
  const toB = link?.ends.find(({ vm }) => vm === 'pair/b')?.address ?? '';
  expect(await pings(toB, 'pair/a')).toBe(true);
  const { id } = await get('pair/a');
  expect((await host.cli(['up', file, '--dry-run', '-o', 'json'])).stdout).not.toMatch(/create|replace|update/);
  expect((await host.cli(['up', file])).exitCode).toBe(0);
  expect((await get('pair/a')).id).toBe(id);
  expect(await links()).toEqual([link]);
  await expect(host.client.run('link.delete', { params: { link: 'pair/a:eth1' } })).rejects.toMatchObject({
    code: 'in-use',
  });

  await host.client.run('node.fork', { params: { node: 'pair' }, body: { name: 'pair-2' } });
  expect(await pings(toB, 'pair-2/a')).toBe(true);
  // The wire of the fork is another one, with the same addresses.
  await host.client.run('vm.stop', { params: { vm: 'pair-2/b' }, body: {} });
  expect(await pings(toB, 'pair-2/a')).toBe(false);
  expect(await pings(toB, 'pair/a')).toBe(true);
  for (const node of ['pair', 'pair-2']) await host.client.run('node.delete', { params: { node } });
  expect(await links()).toEqual([]);
});
