import { execFileSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { encodeIdentity, ipBytes } from '../../../src/vms/agent/identity.ts';
import { TAG } from '../../../src/vms/agent/protocol.ts';
import { Tlvs } from '../../../src/vms/agent/tlv.ts';
import { finish, startAgent } from './real-agent.ts';

const encode = (identity: Parameters<typeof encodeIdentity>[0]): Tlvs => Tlvs.parse(encodeIdentity(identity).end());

test('addresses as bytes', () => {
  expect(ipBytes('10.213.4.7')).toEqual(Buffer.from([10, 213, 4, 7]));
  expect(ipBytes('::')).toEqual(Buffer.alloc(16));
  expect(ipBytes('fd00::7').toString('hex')).toBe('fd000000000000000000000000000007');
  expect(ipBytes('1:2:3:4:5:6:7:8').toString('hex')).toBe('00010002000300040005000600070008');
  expect(ipBytes('::ffff:1.2.3.4').toString('hex')).toBe('00000000000000000000ffff01020304');
  for (const bad of ['', '1.2.3', '1.2.3.256', 'fe80::1%eth0', 'host', ':::']) {
    expect(() => ipBytes(bad)).toThrowError(expect.objectContaining({ code: 'invalid' }));
  }
});

test('files come as text', () => {
  const values = encode({
    hostname: 'web',
    nics: [{ mac: '52:54:00:aa:BB:01', addresses: ['10.213.4.7/24'], gateway: '10.213.4.1', mtu: 1450 }],
    dns: ['10.213.4.1'],
    search: ['shop'],
    hosts: [{ address: '10.213.4.8', names: ['db', 'db.shop'] }],
  });
  expect(values.string(TAG.RESOLV_CONF)).toBe('search shop\nnameserver 10.213.4.1\n');
  expect(values.string(TAG.HOSTS)).toBe(
    '127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n10.213.4.7 web\n10.213.4.8 db db.shop\n',
  );
  const nic = Tlvs.parse(values.bytes(TAG.NIC));
  expect(nic.bytes(TAG.MAC).toString('hex')).toBe('525400aabb01');
  expect(nic.bytes(TAG.ADDRESS)).toEqual(Buffer.from([24, 10, 213, 4, 7]));
  expect(nic.number(TAG.MTU)).toBe(1450);
});

test('what can not be an identity is refused', () => {
  for (const nic of [{ addresses: ['10.0.0.1'] }, { addresses: ['10.0.0.1/33'] }, { addresses: [], mac: '52:54' }]) {
    expect(() => encodeIdentity({ nics: [nic] })).toThrowError(expect.objectContaining({ code: 'invalid' }));
  }
  expect(() => encodeIdentity({ env: { 'A=B': 'c' } })).toThrowError(expect.objectContaining({ code: 'invalid' }));
});

/** More than go into one message of the agent's. */
const MANY = Array.from({ length: 128 }, (_, n) => ({
  to: `10.100.${n}.0/24`,
  via: `10.8.0.${n === 2 ? 200 : n === 0 ? 201 : n}`,
}));

/** A network and mounts of its own, with two devices and a private /etc, else it would be this machine's identity. */
const CAN_UNSHARE = process.getuid?.() === 0 && works('unshare -nmu ip link add eth0 type veth peer name eth1');

test.runIf(CAN_UNSHARE)('sets addresses, routes and names, and takes back what a later identity lacks', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'skerry-identity-'));
  try {
    const script = join(dir, 'start');
    await writeFile(
      script,
      `ip link add eth0 type veth peer name eth1
       ip link set eth0 address 02:00:00:00:00:01; ip link set eth1 address 02:00:00:00:00:02
       mkdir ${dir}/etc; mount --bind ${dir}/etc /etc; exec "$@"`,
    );
    await using agent = await startAgent(['unshare', '-nmu', 'sh', script]);
    await using client = await agent.connect();
    const sh = async (text: string) => (await finish(client.exec({ argv: ['sh', '-c', text], stdin: false }))).stdout;

    await client.identify({
      hostname: 'first',
      machineId: 'f'.repeat(32),
      env: { GREETING: 'hello' },
      dns: ['10.9.0.1'],
      nics: [
        // The first by the address it has, although it comes second; the other by what is left, with a new one.
        { mac: '02:00:00:00:00:02', addresses: ['10.9.0.2/24', 'fd00:9::2/64'], gateway: '10.9.0.1', mtu: 1400 },
        {
          mac: '02:00:00:00:00:99',
          addresses: ['10.8.0.2/16', 'fd00:8::2/64'],
          routes: [...MANY, { to: '0.0.0.0/1', via: '10.8.0.9' }, { to: 'fd00:7::/48', via: 'fd00:8::1' }],
        },
      ],
    });
    expect(await sh('hostname; cat /etc/hostname /etc/machine-id /etc/resolv.conf; echo $GREETING')).toBe(
      `first\nfirst\n${'f'.repeat(32)}\nnameserver 10.9.0.1\nhello\n`,
    );
    const addresses = await sh('ip -o addr');
    expect(addresses).toMatch(/eth1 +inet 10\.9\.0\.2\/24 brd 10\.9\.0\.255/);
    expect(addresses).toMatch(/eth1 +inet6 fd00:9::2\/64/);
    expect(addresses).toMatch(/eth0 +inet 10\.8\.0\.2\/16/);
    expect(addresses).toMatch(/lo +inet 127\.0\.0\.1/);
    expect(await sh('ip -o link show eth0')).toContain('02:00:00:00:00:99');
    expect(await sh('ip -o link show eth1')).toContain('mtu 1400');
    expect(await sh('ip route')).toContain('default via 10.9.0.1 dev eth1');
    expect(await sh('ip -6 route')).toContain('fd00:7::/48 via fd00:8::1 dev eth0');
    const routes = (await sh('ip route')).split('\n').filter((line) => line.includes(' via 10.8.'));
    expect(routes.length).toBe(MANY.length + 1);
    expect(routes).toContainEqual(expect.stringMatching(/^10\.100\.127\.0\/24 via 10\.8\.0\.127 dev eth0/));
    expect(routes).toContainEqual(expect.stringMatching(/^0\.0\.0\.0\/1 via 10\.8\.0\.9 dev eth0/));

    await client.identify({
      hostname: 'second',
      nics: [
        { currentMac: '02:00:00:00:00:02', mac: '02:00:00:00:00:77', addresses: ['10.9.0.3/24'], gateway: '10.9.0.1' },
      ],
    });
    const later = await sh('hostname; ip -o addr; ip -o link show eth1; ip route');
    expect(later).toMatch(/^second\n/);
    expect(later).toMatch(/eth1 +inet 10\.9\.0\.3\/24/);
    expect(later).toContain('02:00:00:00:00:77');
    expect(later).not.toMatch(/10\.9\.0\.2\/|fd00:9::2\/|10\.8\.0\.2\//);
    expect(later).toContain('default via 10.9.0.1 dev eth1');
    expect(await sh('echo "$GREETING"')).toBe('\n');

    await expect(
      client.identify({ nics: [{ addresses: ['10.9.0.4/24'], routes: [{ to: '10.1.0.0/16', via: '10.77.0.1' }] }] }),
    ).rejects.toMatchObject({ message: expect.stringContaining('addresses and routes') });
    await expect(
      client.identify({ nics: [1, 2, 3].map((n) => ({ addresses: [`10.7.${n}.2/24`] })) }),
    ).rejects.toMatchObject({ code: 'invalid', message: expect.stringContaining('fewer network interfaces') });
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
});

test.runIf(CAN_UNSHARE)('takes a seed for the random generator', async () => {
  await using agent = await startAgent(['unshare', '-n']);
  await using client = await agent.connect();
  await client.identify({ seed: Buffer.alloc(32, 1) });
  await expect(client.identify({ seed: Buffer.alloc(257) })).rejects.toMatchObject({ code: 'invalid' });
});

function works(command: string): boolean {
  try {
    execFileSync('sh', ['-c', command], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}
