import { spawn, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { NetworkCreateInput } from '@skerry/api';
import { startTestHost, type TestHost } from '@skerry/testkit';
import { run } from '../../packages/engine/src/hosts/index.ts';
import { pingDf } from './ping-df.ts';

/**
 * Networks in the kernel, with a daemon that has a network namespace of its own for a host, and a world behind that: nothing of
 * the machine that the tests run on is touched.
 */

const possible = process.getuid?.() === 0;
/** br_netfilter is not everywhere. */
const filters = existsSync('/proc/sys/net/bridge');
const id = randomBytes(3).toString('hex');
const HOST_NS = `skt${id}h`;
const WORLD_NS = `skt${id}w`;
const HOST_IP = '198.51.100.2';
const WORLD_IP = '198.51.100.1';
const HOST_IP6 = '2001:db8::2';
const WORLD_IP6 = '2001:db8::1';
const METADATA = '169.254.169.254';
/** A look every 2.5 s, and what the repair takes on a busy machine. */
const REPAIRED_MS = 5000;

const inHost = (...argv: string[]) => run(['nsenter', `--net=/run/netns/${HOST_NS}`, ...argv] as never);
const inWorld = (...argv: string[]) => run(['nsenter', `--net=/run/netns/${WORLD_NS}`, ...argv] as never);

/** What a server says that is called from there. */
const called = (from: typeof inHost, address: string, port: number): Promise<string> =>
  from(process.execPath, '-e', `require('node:net').connect(${port}, '${address}').pipe(process.stdout)`).then(
    ({ stdout }) => stdout,
    () => 'refused',
  );

const servers: ChildProcess[] = [];
let host: TestHost;

/** Answers each connection with who it is for. */
async function serve(netns: string, port: number): Promise<void> {
  const program = `require('node:net').createServer((s) => { s.on('error', () => {}); s.end('you are ' + s.remoteAddress.replace('::ffff:', '') + '\\n'); }).listen(${port}, '::', () => console.log('ready'))`;
  const child = spawn('nsenter', [`--net=/run/netns/${netns}`, process.execPath, '-e', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  servers.push(child);
  await once(child.stdout, 'data');
}

const exec = async (vm: string, command: string): Promise<string> => {
  const { stdout, exitCode } = await host.client.exec(vm, command);
  return exitCode === 0 ? stdout : `exit ${exitCode}`;
};
const pings = async (vm: string, target: string, from = ''): Promise<boolean> =>
  (await host.client.exec(vm, `ping -c1 -W1 ${from} ${target}`)).exitCode === 0;
const fetches = (vm: string, address: string, port: number): Promise<string> =>
  exec(vm, `nc -w 1 ${address} ${port} </dev/null`);
const addressOf = async (vm: string, nic: number): Promise<string> =>
  (await host.client.call('vm.get', { params: { vm } })).status.nics[nic]!.address;
const links = async (netns?: string): Promise<string[]> => {
  const { stdout } = await inHost('ip', ...(netns === undefined ? [] : ['-n', netns]), '-j', 'link');
  return (JSON.parse(stdout) as Array<{ ifname: string }>)
    .map(({ ifname }) => ifname)
    .filter((name) => name.startsWith('sk'));
};
const namespaces = async (): Promise<string[]> => {
  const { stdout } = await run(['ip', '-j', 'netns', 'list']);
  const tag = (await readFile(`${host.dirs.dataDir}/instance`, 'utf8')).trim();
  return (JSON.parse(stdout || '[]') as Array<{ name: string }>)
    .map(({ name }) => name)
    .filter((name) => name.startsWith(`skerry-${tag}-`));
};

beforeAll(async () => {
  if (!possible) return;
  for (const netns of [HOST_NS, WORLD_NS]) await run(['ip', 'netns', 'add', netns]);
  await run(['ip', 'link', 'add', 'up0', 'netns', HOST_NS, 'type', 'veth', 'peer', 'name', 'down0', 'netns', WORLD_NS]);
  const batch = (netns: string, lines: string[]) =>
    run(['ip', '-n', netns, '-batch', '-'], { input: lines.join('\n') });
  await batch(HOST_NS, [
    'link set lo up',
    `address add ${HOST_IP}/24 dev up0`,
    'link set up0 up',
    `route add default via ${WORLD_IP}`,
    `address add ${HOST_IP6}/64 dev up0 nodad`,
    `route add default via ${WORLD_IP6}`,
  ]);
  // The world knows no way to any guest: what it answers was masqueraded.
  await batch(WORLD_NS, [
    'link set lo up',
    `address add ${WORLD_IP}/24 dev down0`,
    `address add ${WORLD_IP6}/64 dev down0 nodad`,
    `address add ${METADATA}/32 dev lo`,
    'link set down0 up',
  ]);
  await serve(WORLD_NS, 7000);
  await serve(HOST_NS, 7001);
  host = await startTestHost({ wrap: ['nsenter', `--net=/run/netns/${HOST_NS}`] });
  const { client } = host;
  const forward = { vm: 'web', guestPort: 7070, protocol: 'tcp' as const };
  const forwards = [
    { hostAddress: '0.0.0.0', hostPort: 8080, ...forward },
    { hostAddress: '127.0.0.1', hostPort: 8081, ...forward },
  ];
  const acl = {
    rules: [{ action: 'deny', from: 'db', to: 'web', protocol: 'tcp', ports: { from: 7070, to: 7070 } }],
  } satisfies NetworkCreateInput['acl'];
  await client.run('network.create', {
    body: {
      name: 'front',
      mode: 'nat',
      datapath: 'kernel',
      ipv6: 'fd00:51::/64',
      forwards,
      ...(filters ? { acl } : {}),
    },
  });
  await client.run('network.create', { body: { name: 'back', mode: 'isolated', datapath: 'kernel' } });
  const networks = ['front', 'back'];
  for (const name of ['web', 'db'])
    await client.run('vm.create', { body: { name, memoryMib: 64, networks, start: true } });
});

afterAll(async () => {
  if (!possible) return;
  await host?.[Symbol.asyncDispose]();
  for (const server of servers) server.kill();
  for (const netns of [HOST_NS, WORLD_NS]) await run(['ip', 'netns', 'delete', netns], { okExitCodes: 'any' });
});

test.skipIf(!possible)('guests reach each other, by name too, and the world in the name of their host', async () => {
  expect(await pings('web', await addressOf('db', 0))).toBe(true);
  expect(await pings('web', await addressOf('db', 1))).toBe(true);
  expect(await pings('web', 'db.front')).toBe(true);
  // The first of its servers is that of the other network.
  expect(await exec('web', 'ping -c1 -W1 db.back')).toContain(await addressOf('db', 1));
  expect(await exec('web', 'ping -4 -c1 -W1 db')).toContain(await addressOf('db', 0));
  expect(await fetches('web', WORLD_IP, 7000)).toBe(`you are ${HOST_IP}\n`);
  // It is a clone of a template whose NICs have no tap.
  expect((await host.client.call('vm.get', { params: { vm: 'db' } })).status.start?.how).toBe('clone');
});

test.skipIf(!possible)('who sends more than the way out takes is told how much it takes', async () => {
  expect((await host.cli(['cp', await pingDf(host.dir), 'web:/bin/ping-df'])).exitCode).toBe(0);
  expect(await exec('web', `ping-df ${WORLD_IP} 1500`)).toBe('reply\n');
  await inHost('ip', 'link', 'set', 'up0', 'mtu', '1400');
  expect(await exec('web', `ping-df ${WORLD_IP} 1400`)).toBe('reply\n');
  expect(await exec('web', `ping-df ${WORLD_IP} 1401`)).toBe('too big: 1400\n');
  await inHost('ip', 'link', 'set', 'up0', 'mtu', '1500');
});

test.skipIf(!possible)('nothing of the host is theirs but address, name and ping', async () => {
  const gateway = (await addressOf('web', 0)).replace(/\d+$/, '1');
  expect(await pings('web', gateway)).toBe(true);
  // The control: it does listen.
  expect(await called(inWorld, HOST_IP, 7001)).toBe(`you are ${WORLD_IP}\n`);
  const reached = await Promise.all([
    fetches('web', gateway, 7001),
    fetches('web', HOST_IP, 7001),
    exec('web', `ping -c1 -W1 ${HOST_IP}`),
  ]);
  for (const each of reached) expect(each).toMatch(/^exit/);
  // Whoever keeps the host's secrets is out there; the host itself may ask.
  await inHost('ip', 'route', 'add', METADATA, 'via', WORLD_IP);
  expect(await called(inHost, METADATA, 7000)).toContain(HOST_IP);
  expect(await fetches('web', METADATA, 7000)).toMatch(/^exit/);
});

test.skipIf(!possible)('the world is reached by IPv6, too, in the name of their host', async () => {
  // Told by the gateway, to who asks.
  await expect.poll(() => exec('web', 'ip -6 route show default'), { timeout: 10_000 }).toContain('via fe80::');
  expect(await fetches('web', WORLD_IP6, 7000)).toBe(`you are ${HOST_IP6}\n`);
  expect(await fetches('web', HOST_IP6, 7001)).toMatch(/^exit/);
});

test.skipIf(!possible)('ports of the host lead to guests, and an access list says who may call them', async () => {
  await exec('web', '(while true; do echo hello | nc -l -p 7070; done) >/dev/null 2>&1 &');
  await expect.poll(() => called(inWorld, HOST_IP, 8080)).toBe('hello\n');
  await expect.poll(() => called(inHost, '127.0.0.1', 8081)).toBe('hello\n');
  const web = await addressOf('web', 0);
  const isOpen = async (vm: string, nic: number): Promise<string> => fetches(vm, await addressOf('web', nic), 7070);
  expect(await pings('db', web)).toBe(true);
  // The control: the other network has no list.
  expect(await isOpen('db', 1)).toBe('hello\n');
  if (filters) expect(await isOpen('db', 0)).toMatch(/^exit/);
});

test.skipIf(!possible)('isolated means isolated: no way out, and no way in', async () => {
  const address = await addressOf('web', 1);
  const gateway = address.replace(/\d+$/, '1');
  // Over that NIC alone.
  await exec(
    'web',
    `ip route add ${WORLD_IP} via ${gateway} dev eth1; ip route add ${HOST_IP} via ${gateway} dev eth1`,
  );
  const reached = await Promise.all([fetches('web', WORLD_IP, 7000), fetches('web', HOST_IP, 7001)]);
  for (const each of reached) expect(each).toMatch(/^exit/);
  await exec('web', `ip route del ${WORLD_IP}; ip route del ${HOST_IP}`);
  expect(await fetches('web', WORLD_IP, 7000)).toContain(HOST_IP);
  const { stdout } = await inHost('ip', 'route', 'get', address);
  expect(stdout).toContain(`via ${WORLD_IP}`);
});

test.skipIf(!possible)(
  'a machine that runs gets a NIC on a bridge and loses one again, and cables are pulled',
  async () => {
    const { client } = host;
    const nic = (body: object) => client.run('vm.nic.add', { params: { vm: 'web' }, body: body as never });
    await client.run('network.create', { body: { name: 'side', mode: 'isolated', datapath: 'kernel' } });
    const before = await exec('web', 'cat /proc/sys/kernel/random/boot_id');
    const added = (await nic({ network: 'side' })) as { name: string; address: string };
    expect(added.name).toBe('eth2');
    await client.run('vm.nic.add', { params: { vm: 'db' }, body: { network: 'side' } as never });
    const other = await addressOf('db', 2);
    expect(await pings('web', other)).toBe(true);
    const fault = (spec: object, forMs: number) => client.call('fault.start', { body: { spec, forMs } as never });
    const carrier = (): Promise<string> => exec('web', 'cat /sys/class/net/eth2/operstate');
    const pulled = (await fault({ kind: 'link-down', nic: 'web:eth2' }, 60_000)) as { name: string };
    expect([await pings('web', other), await carrier()]).toEqual([false, 'down\n']);
    await client.call('fault.clear', { body: { of: pulled.name } });
    // Linux tells of carriers once a second (link_watch.c).
    const isBack = { timeout: REPAIRED_MS };
    await expect.poll(() => pings('web', other), isBack).toBe(true);
    const set = (nicName: string, body: object) =>
      client.run('vm.nic.set', { params: { vm: 'web', nic: nicName }, body: body as never });
    // Of one that has had its tap from the start.
    await set('eth0', { link: 'down' });
    expect(await pings('web', await addressOf('db', 0))).toBe(false);
    await set('eth0', { link: 'up' });
    await expect.poll(async () => pings('web', await addressOf('db', 0)), isBack).toBe(true);
    for (const vm of ['web', 'db']) await client.run('vm.nic.remove', { params: { vm, nic: 'eth2' } });
    expect(await pings('web', await addressOf('db', 0))).toBe(true);
    expect(await exec('web', 'cat /proc/sys/kernel/random/boot_id')).toBe(before);
    await client.run('network.delete', { params: { network: 'side' } });
  },
);

/** Of a pcap file: what was kept of each. */
function framesOf(pcap: Buffer): Buffer[] {
  const frames: Buffer[] = [];
  for (let at = 24; at < pcap.length;) {
    const end = at + 16 + pcap.readUInt32LE(at + 8);
    frames.push(pcap.subarray(at + 16, end));
    at = end;
  }
  return frames;
}

test.skipIf(!possible)('nobody speaks for another, and what is flushed is back within seconds', async () => {
  const target = await addressOf('db', 0);
  const foreign = target.replace(/\d+$/, '77');
  // What db sends there is for whoever says so last.
  await exec('web', `ip address add ${foreign}/24 dev eth0`);
  expect(await pings('web', target, `-I ${foreign}`)).toBe(false);
  // The control: without our rules it works.
  const pingsWithoutRules = async (): Promise<boolean> => {
    await inHost('nft', 'flush', 'ruleset');
    return pings('web', target, `-I ${foreign}`);
  };
  // The repair may be faster than the ping, once.
  await expect.poll(pingsWithoutRules, { timeout: REPAIRED_MS }).toBe(true);
  await expect.poll(() => pings('web', target, `-I ${foreign}`), { timeout: REPAIRED_MS }).toBe(false);
  expect(await fetches('web', WORLD_IP, 7000)).toContain(HOST_IP);
  await exec('web', `ip address del ${foreign}/24 dev eth0`);
});

test.skipIf(!possible)('a bridge that somebody removes and a dnsmasq that dies are back within seconds', async () => {
  const [bridge] = (await links()).filter((name) => /^sk....b/.test(name));
  await inHost('ip', 'link', 'delete', bridge!);
  await expect.poll(async () => pings('web', await addressOf('db', 0)), { timeout: REPAIRED_MS }).toBe(true);
  const dnsmasq = async (): Promise<number[]> => {
    const { stdout } = await run(['pgrep', '-f', `dnsmasq .*--interface=${bridge}`], { okExitCodes: 'any' });
    return stdout.trim().split('\n').filter(Boolean).map(Number);
  };
  const [pid] = await dnsmasq();
  process.kill(pid!, 'SIGKILL');
  await expect.poll(async () => pings('web', 'db.front'), { timeout: REPAIRED_MS }).toBe(true);
  expect(await dnsmasq()).not.toContain(pid);
});

test.skipIf(!possible)('NICs are impaired as far as this kernel can, and no daemon is needed for the end', async () => {
  const before = (await links()).toSorted();
  const { features } = await host.client.call('host.info');
  const hasNetem = features.some(({ id, state }) => id === 'netem' && state === 'yes');
  const impair = (...args: string[]) => host.cli(['link', 'impair', 'web:eth0', ...args, '--for', '3s']);
  const queues = async (): Promise<string[]> =>
    (await inHost('tc', 'qdisc', 'show')).stdout.split('\n').filter((line) => /^qdisc (tbf|netem|ingress)/.test(line));
  const delayed = await impair('--delay', '20ms');
  if (hasNetem) expect(delayed).toMatchObject({ exitCode: 0 });
  else expect(delayed).toMatchObject({ exitCode: 5, stderr: expect.stringContaining('modprobe sch_netem') });
  // Without netem there are rates all the same.
  expect(await impair('--rate', '1mbit')).toMatchObject({ exitCode: 0 });
  expect((await queues()).filter((line) => /rate 1Mbit/.test(line))).toHaveLength(2);
  await host.kill9();
  await expect.poll(queues, { timeout: 8000 }).toEqual([]);
  await host.start();
  await expect.poll(async () => (await links()).toSorted(), { timeout: REPAIRED_MS }).toEqual(before);
  await expect.poll(() => host.client.call('fault.list'), { timeout: REPAIRED_MS }).toEqual([]);
});

test.skipIf(!possible)(
  'VMs stay connected without a daemon, and the next one finds all as it is, captures too',
  async () => {
    const { client } = host;
    const { id: vmId } = await client.call('vm.get', { params: { vm: 'web' } });
    const capture = (verb: 'start' | 'stop', nic: string) =>
      client.call(`capture.${verb}`, { params: { vm: 'web', nic }, body: {} } as never);
    // One in the host's namespace, and one in a namespace of its own.
    for (const nic of ['eth0', 'eth1']) await capture('start', nic);
    await expect(capture('start', 'eth1')).rejects.toMatchObject({ code: 'in-use' });
    const before = [...(await links()), ...(await namespaces())];
    await host.kill9();
    await host.start();
    for (const nic of [0, 1])
      expect(await exec('web', `ping -c2 -s 777 -W1 ${await addressOf('db', nic)}`)).toContain('777');
    const list = await client.call('capture.list', {});
    expect(list.map(({ nic, state, drops }) => [nic, state, drops])).toEqual([
      ['eth0', 'running', 0],
      ['eth1', 'running', 0],
    ]);
    for (const nic of ['eth0', 'eth1']) {
      expect(await capture('stop', nic)).toMatchObject({ state: 'ended' });
      const pcap = await readFile(`${host.dirs.dataDir}/vms/${vmId}/captures/${nic}.pcap`);
      // Both ways, each once.
      const echoes = framesOf(pcap).filter((frame) => frame.length === 14 + 20 + 8 + 777);
      expect(echoes.map((frame) => frame[34])).toEqual([8, 0, 8, 0]);
    }
    expect(await pings('web', 'db.front')).toBe(true);
    expect([...(await links()), ...(await namespaces())].toSorted()).toEqual(before.toSorted());
    expect(await host.leftovers()).toEqual([]);
  },
);

test.skipIf(!possible)(
  'a capture ends with its NIC, whose tap stays with the machine, and so do those who read it',
  async () => {
    const { client } = host;
    const running = async () => (await client.call('capture.list', {})).filter(({ state }) => state === 'running');
    const follow = { params: { vm: 'web', nic: 'eth1' }, query: { follow: true } } as const;
    // As it comes, and from a file.
    const early = await client.download('capture.read', follow);
    await client.call('capture.start', { params: { vm: 'web', nic: 'eth1' }, body: {} } as never);
    const late = await client.download('capture.read', follow);
    const ended = Promise.all([early, late].map((reader) => once(reader.resume(), 'end')));
    expect(await running()).toHaveLength(1);
    await client.run('vm.nic.remove', { params: { vm: 'web', nic: 'eth1' } });
    expect(await running()).toEqual([]);
    await ended;
    await client.run('vm.nic.add', { params: { vm: 'web' }, body: { network: 'back' } });
    expect(await running()).toEqual([]);
    expect(await host.leftovers()).toEqual([]);
  },
);

test.skipIf(!possible)('nothing is left once nobody is plugged in', async () => {
  expect((await links()).length).toBeGreaterThan(0);
  expect(await namespaces()).toHaveLength(1);
  await host.clear();
  for (const name of ['front', 'back']) await host.client.run('network.delete', { params: { network: name } });
  const left = async (): Promise<string[]> => [
    ...(await links()),
    ...(await namespaces()),
    (await inHost('nft', 'list', 'ruleset')).stdout,
    (await inHost('cat', '/proc/sys/net/ipv4/ip_forward')).stdout,
  ];
  await expect.poll(left, { timeout: 10_000 }).toEqual(['', '0\n']);
  await expect.poll(() => host.leftovers({ settleMs: 0 }), { timeout: 10_000 }).toEqual([]);
});
