import { parseSwitchConfig } from '@skerry/switch';
import { expect, test } from 'vitest';
import {
  egressArgv,
  parseResolvers,
  parseRoutes,
  readHostNetwork,
  switchConfig,
  type PlannedNetwork,
  type PlannedVm,
} from '../../src/networks/index.ts';

const front: PlannedNetwork = {
  id: 'n-front',
  subnet: '10.213.0.0/24',
  gateway: '10.213.0.1',
  domain: 'front.internal',
  egressSocketPath: '/run/skerry/egress/1/s',
};
const back: PlannedNetwork = { id: 'n-back', subnet: '10.213.1.0/24', gateway: '10.213.1.1' };
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
        hostAddresses: ['10.213.0.0/16', '10.213.0.0/24', '10.213.1.0/24', '127.0.0.1', '192.0.2.2'],
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
        hostAddresses: ['10.213.0.0/16', '10.213.0.0/24', '10.213.1.0/24', '127.0.0.1', '192.0.2.2'],
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

test('routes and resolvers are read from what Linux writes', async () => {
  const routes = `Iface	Destination	Gateway 	Flags	RefCnt	Use	Metric	Mask		MTU	Window	IRTT
eth0	00000000	010200C0	0003	0	0	0	00000000	0	0	0
eth0	000200C0	00000000	0001	0	0	0	00FFFFFF	0	0	0
tun0	0000D50A	00000000	0001	0	0	0	0000FFFF	0	0	0
`;
  expect(parseRoutes(routes)).toEqual(['0.0.0.0/0', '192.0.2.0/24', '10.213.0.0/16']);
  expect(parseRoutes('')).toEqual([]);
  expect(parseResolvers('# x\nsearch a.b\nnameserver 192.0.2.53\n nameserver ::1 \nnameserver bad\n')).toEqual([
    '192.0.2.53',
    '::1',
  ]);
  const real = await readHostNetwork();
  expect(real.addresses).toContain('127.0.0.1');
});
