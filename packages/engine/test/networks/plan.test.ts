import { parseSwitchConfig } from '@skerry/switch';
import { expect, test } from 'vitest';
import { withOthers } from '../../src/networks/names-plan.ts';
import { closedRanges } from '../../src/networks/plan.ts';
import {
  egressArgv,
  parseResolvers,
  parseRoutes,
  parseRoutes6,
  readHostNetwork,
  switchConfig,
  type PlannedNetwork,
  type PlannedVm,
} from '../../src/networks/index.ts';

const front: PlannedNetwork = {
  id: 'n-front',
  name: 'front',
  mode: 'nat',
  subnet: '10.213.0.0/24',
  gateway: '10.213.0.1',
  domain: 'front.internal',
  egressSocketPath: '/run/skerry/egress/1/s',
};
const back: PlannedNetwork = {
  id: 'n-back',
  name: 'back',
  mode: 'isolated',
  subnet: '10.213.1.0/24',
  gateway: '10.213.1.1',
};
const nic = (networkId: string, n: number, net: number) => ({
  networkId,
  mac: `02:00:00:00:0${net}:0${n}`,
  address: `10.213.${net}.1${n}`,
  socketPath: `/run/skerry/v/${n}/nic${net}`,
});
const web: PlannedVm = {
  id: 'vm-web',
  name: 'shop/web',
  nics: [nic('n-front', 0, 0), { ...nic('n-back', 0, 1), linkUp: false }],
};
const db: PlannedVm = { id: 'vm-db', name: 'db', nics: [nic('n-back', 1, 1)] };
const host = { addresses: ['192.0.2.2', '127.0.0.1'], resolvers: ['192.0.2.53'] };

test('a link is a segment of two ports, and none while one of them is missing', () => {
  const link: PlannedNetwork = { id: 'n-link', name: 'wire', mode: 'link', subnet: '10.214.0.0/30', gateway: '' };
  const [a, b] = [web, db].map((vm, n) => ({
    ...vm,
    nics: [{ ...nic('n-link', n, 4), address: `10.214.0.${n + 1}` }],
  }));
  const both = switchConfig([link], [a!, b!], host);
  expect(both.segments).toMatchObject([{ kind: 'link', ports: [{}, {}] }]);
  expect(() => parseSwitchConfig(both)).not.toThrow();
  expect(switchConfig([link, back], [a!, db], host).segments.map(({ id }) => id)).toEqual(['n-back']);
});

test('networks and VMs become segments and ports', () => {
  const config = switchConfig([front, back], [web, db], host);
  expect(config).toEqual({
    version: 1,
    segments: [
      {
        id: 'n-back',
        subnet: '10.213.1.0/24',
        gateway: '10.213.1.1',
        gatewayMac: '52:55:0a:d5:01:01',
        domain: undefined,
        egress: undefined,
        hostAddresses: ['10.213.0.0/16', '10.213.0.0/24', '10.213.1.0/24', '10.214.0.0/16', '127.0.0.1', '192.0.2.2'],
        upstreamDns: [],
        ports: [
          {
            id: 'vm-db/0',
            socketPath: '/run/skerry/v/1/nic1',
            mac: '02:00:00:00:01:01',
            addresses: ['10.213.1.11'],
            names: ['db'],
            linkUp: true,
          },
          {
            id: 'vm-web/1',
            socketPath: '/run/skerry/v/0/nic1',
            mac: '02:00:00:00:01:00',
            addresses: ['10.213.1.10'],
            names: ['web'],
            linkUp: false,
          },
        ],
      },
      {
        id: 'n-front',
        subnet: '10.213.0.0/24',
        gateway: '10.213.0.1',
        gatewayMac: '52:55:0a:d5:00:01',
        domain: 'front.internal',
        egress: { socketPath: '/run/skerry/egress/1/s' },
        hostAddresses: ['10.213.0.0/16', '10.213.0.0/24', '10.213.1.0/24', '10.214.0.0/16', '127.0.0.1', '192.0.2.2'],
        upstreamDns: ['192.0.2.53'],
        ports: [
          {
            id: 'vm-web/0',
            socketPath: '/run/skerry/v/0/nic0',
            mac: '02:00:00:00:00:00',
            addresses: ['10.213.0.10'],
            names: ['web'],
            linkUp: true,
          },
        ],
      },
    ],
  });
  expect(parseSwitchConfig(JSON.parse(JSON.stringify(config)))).toEqual(config);
});

test('a VM may ask each of its networks for the names of all, but those that it is on by a VLAN or a wire', () => {
  const lan = { ...back, id: 'n-lan', mode: 'bridged' as const };
  const wire = { ...back, id: 'n-wire', mode: 'link' as const };
  const all = [front, back, lan, wire];
  const on = (...nics: PlannedVm['nics']) =>
    withOthers([{ ...web, nics }, db], all)[0]!.nics.map(({ others }) => others);
  const [eth0, eth1] = [nic('n-front', 0, 0), nic('n-back', 0, 1)];
  expect(on(eth0, eth1, nic('n-lan', 0, 2), nic('n-wire', 0, 3))).toEqual([
    [{ id: 'n-back' }],
    [{ id: 'n-front', domain: 'front.internal' }],
    undefined,
    undefined,
  ]);
  expect(on(eth0, { ...eth1, vlan: 10 })).toEqual([undefined, undefined]);
  expect(withOthers([db], all)).toEqual([db]);
  const [ofBack] = switchConfig([front, back], withOthers([web, db], all), host).segments;
  expect(ofBack?.ports.map(({ id, others }) => [id, others])).toEqual([
    ['vm-db/0', undefined],
    ['vm-web/1', [{ id: 'n-front', domain: 'front.internal' }]],
  ]);
});

test("an address of IPv6 is a port's own as well, and a NIC may have none at all", () => {
  const six = { ...back, ipv6: { subnet: 'fd00:50::/64', gateway: 'fd00:50::1' } };
  const vm = { ...db, nics: [{ ...nic('n-back', 1, 1), address6: 'fd00:50::ff:fe00:101' }] };
  const none = { ...web, nics: [{ ...nic('n-back', 0, 1), address: '' }] };
  const config = switchConfig([six], [vm, none], host);
  expect(config.segments[0]!.ports.map(({ addresses }) => addresses)).toEqual([
    ['10.213.1.11', 'fd00:50::ff:fe00:101'],
    [],
  ]);
  expect(config.segments[0]!.ipv6).toEqual(six.ipv6);
  expect(parseSwitchConfig(JSON.parse(JSON.stringify(config)))).toEqual(config);
});

test('a way out leads to no network, but to the LAN that a bridged one is a part of', () => {
  const six = { ...back, ipv6: { subnet: 'fd00:50::/64', gateway: 'fd00:50::1' } };
  const lan = { ...front, mode: 'bridged' as const, subnet: '192.168.1.0/24' };
  expect(closedRanges([six, lan])).toEqual(['10.213.0.0/16', '10.214.0.0/16', back.subnet, 'fd00:50::/64']);
  const away = { ...back, id: 'away', subnet: '192.168.50.0/24' };
  const closed = (all?: PlannedNetwork[]) => switchConfig([front], [web], host, all).segments[0]?.hostAddresses;
  expect(closed()).not.toContain(away.subnet);
  expect(closed([front, away])).toContain(away.subnet);
});

test('the order in which things are listed changes nothing', () => {
  expect(switchConfig([back, front], [db, web], host)).toEqual(switchConfig([front, back], [web, db], host));
});

test("the way out is QEMU's user network behind a hub, in a sandbox, without a machine", () => {
  expect(egressArgv({ id: 'n', subnet: '10.213.4.0/24', gateway: '10.213.4.1' }).join(' ')).toBe(
    'qemu-system-x86_64 -M none -nodefaults -no-user-config -display none ' +
      '-sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny ' +
      '-netdev user,id=u,net=10.213.4.0/24,host=10.213.4.1,dns=10.213.4.2,ipv6=off ' +
      '-netdev stream,id=s,server=on,addr.type=fd,addr.str={s} ' +
      '-netdev hubport,id=hu,hubid=0,netdev=u -netdev hubport,id=hs,hubid=0,netdev=s',
  );
});

test('it leads out in IPv6 where the network has it, and the switch lets nobody out unless the host has a way', () => {
  const ipv6 = { subnet: 'fd00:50::/64', gateway: 'fd00:50::1' };
  const argv = egressArgv({ id: 'n', subnet: '10.213.4.0/24', gateway: '10.213.4.1', ipv6 });
  expect(argv).toContain(
    'user,id=u,net=10.213.4.0/24,host=10.213.4.1,dns=10.213.4.2,ipv4=on,ipv6=on,ipv6-prefix=fd00:50::,ipv6-prefixlen=64,ipv6-host=fd00:50::1',
  );
  const wayOut = (network: typeof front, leadsOut6?: boolean) =>
    switchConfig([network], [web], { ...host, leadsOut6 }).segments[0]!.egress;
  expect(wayOut({ ...front, ipv6 }, true)).toEqual({ socketPath: front.egressSocketPath, ipv6: true });
  expect(wayOut({ ...front, ipv6 }, false)).toEqual({ socketPath: front.egressSocketPath });
  expect(wayOut(front, true)).toEqual({ socketPath: front.egressSocketPath });
});

test('routes and resolvers are read from what Linux writes', async () => {
  const routes = `Iface	Destination	Gateway 	Flags	RefCnt	Use	Metric	Mask		MTU	Window	IRTT
eth0	00000000	010200C0	0003	0	0	0	00000000	0	0	0
eth0	000200C0	00000000	0001	0	0	0	00FFFFFF	0	0	0
tun0	0000D50A	00000000	0001	0	0	0	0000FFFF	0	0	0
`;
  expect(parseRoutes(routes)).toEqual(['0.0.0.0/0', '192.0.2.0/24', '10.213.0.0/16']);
  expect(parseRoutes('')).toEqual([]);
  const nowhere = '0'.repeat(32);
  const line = (to: string, bits: string, flags: string) =>
    `${to} ${bits} ${nowhere} 00 ${nowhere} 00000400 00000001 00000000 ${flags}     eth0\n`;
  // Every host has a route that refuses all that no other leads to.
  const refused = line(nowhere, '00', '00200200');
  const near = line('fd000050000000000000000000000000', '40', '00000001');
  expect(parseRoutes6(near + refused)).toEqual(['fd00:50::/64']);
  expect(parseRoutes6(near + line(nowhere, '00', '00000003') + refused)).toEqual(['fd00:50::/64', '::/0']);
  expect(parseResolvers('# x\nsearch a.b\nnameserver 192.0.2.53\n nameserver ::1 \nnameserver bad\n')).toEqual([
    '192.0.2.53',
    '::1',
  ]);
  const real = await readHostNetwork();
  expect(real.addresses).toContain('127.0.0.1');
});
