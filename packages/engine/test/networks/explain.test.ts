import { SkerryError } from '@skerry/api';
import { describe, expect, test } from 'vitest';
import { explain } from '../../src/networks/explain-plan.ts';
import { guestArgv, parseGuest } from '../../src/networks/explain-guest-plan.ts';
import { judged, missedFault } from './explain-rounds.ts';
import { addVm, arrives, random, type World, worldOf } from './explain-world.ts';

const PORT = 80;
const PING = 0;
/** Others than it was written with; `npm run soak -- explain` takes new ones each time. */
const FIRST_SEED = 500_000;
const SEEDS = 300;

const asked = (from: string, to: string, port = PORT) => ({
  from,
  to,
  ...(port === PING ? {} : { port }),
  protocol: 'tcp' as const,
  ipv6: false,
});

describe('explain', () => {
  test(`names what is at fault in ${SEEDS} seeded faults`, () => {
    const missed = Array.from({ length: SEEDS }, (_, seed) => missedFault(FIRST_SEED + seed)).filter(
      (miss) => miss !== undefined,
    );
    expect(missed).toEqual([]);
  });

  test('says yes where frames arrive, and no where they do not, between all VMs of broken worlds', () => {
    const counts = { yes: 0, no: 0 };
    for (let seed = 1; seed <= 60; seed++) {
      const { wrong, yes, no } = judged(seed);
      expect(wrong).toEqual([]);
      counts.yes += yes;
      counts.no += no;
    }
    expect(counts.yes).toBeGreaterThan(300);
    expect(counts.no).toBeGreaterThan(300);
  });
});

describe('beyond VMs', () => {
  const world = (): World => {
    const made: World = { ...worldOf(random(1)), vms: [], faults: [] };
    addVm(made, 'lab/web', [0]);
    addVm(made, 'lab/hidden', [1]);
    addVm(made, 'lab/db', [2]);
    return made;
  };
  test.each([
    ['lab/web', '198.51.100.7', 443, 'yes', undefined],
    ['lab/web', '10.1.0.1', PING, 'yes', undefined],
    ['lab/web', '10.1.0.1', 53, 'yes', undefined],
    ['lab/web', '10.1.0.1', 22, 'no', 'service n0'],
    ['lab/web', '192.0.2.1', 22, 'no', 'host n0'],
    ['lab/web', 'lab/db', 80, 'no', 'network n2'],
    ['lab/hidden', '198.51.100.7', 443, 'no', 'network n1'],
    ['lab/hidden', 'lab/web', 80, 'no', 'network n0'],
    ['lab/web', '10.1.0.99', PING, 'no', 'address n0'],
  ])('%s to %s:%s: %s %s', (from, to, port, reachable, what) => {
    const { cause, ...answer } = explain(asked(from, to, port), world());
    expect(answer.reachable).toBe(reachable);
    expect(cause === undefined ? undefined : `${cause.kind} ${cause.at}`).toBe(what);
  });

  test('what is no VM and no address of one is refused as the first end', () => {
    expect(() => explain(asked('nobody', 'lab/web'), world())).toThrow(SkerryError);
    expect(() => explain(asked('198.51.100.7', '198.51.100.8'), world())).toThrow(/Neither end/);
  });

  test('a guest that can not be asked is taken as it was told, and that is said', () => {
    const unseen = world();
    addVm(unseen, 'lab/other', [0]);
    for (const vm of unseen.vms) delete vm.guest;
    const { reachable, notes } = explain(asked('lab/web', 'lab/other'), unseen);
    expect({ reachable, notes }).toEqual({
      reachable: 'yes',
      notes: ['lab/web', 'lab/other'].map(
        (name) => `${name} could not be asked: it is taken to be set up as it was told`,
      ),
    });
  });

  test('an address that a router has taken is not answered for', () => {
    const taken = world();
    const router = addVm(taken, 'lab/router', [0]);
    router.isRouter = true;
    router.guest!.interfaces[0]!.addresses.push('10.1.0.2');
    const { reachable, cause } = explain(asked('lab/web', '10.1.0.2'), taken);
    expect({ reachable, kind: cause?.kind, at: cause?.at }).toEqual({
      reachable: 'no',
      kind: 'address',
      at: 'lab/router:eth0',
    });
    expect(arrives(taken, 'lab/web', '10.1.0.2', PORT)).toBe(false);
  });

  test('a device of the guest itself is where we can not look', () => {
    const tunnel = world();
    tunnel.vms[0]!.guest!.routes.unshift({ to: '10.77.0.0/16', dev: 'wg0', metric: 0 });
    expect(explain(asked('lab/web', '10.77.0.5'), tunnel)).toMatchObject({
      reachable: 'unknown',
      notes: [expect.stringContaining('wg0') as string],
    });
  });
});

test('what a guest says is read, and what makes no sense is left out', () => {
  const [shell, , script] = guestArgv(['10.0.0.9', 'fd00::9']);
  expect(shell).toBe('sh');
  expect(script).toMatch(/\nip route get 10\.0\.0\.9 .*\nip -6 route get fd00::9 /);
  const guest = parseGuest(`== interfaces
eth0 02:96:7c:dc:eb:41 0x1003
eth1 02:96:7c:dc:eb:42 0x1002
eth1.10 02:96:7c:dc:eb:42 0x1003
lo 00:00:00:00:00:00 0x49
bad mac 0x1
== addresses
1: lo    inet 127.0.0.1/8 scope host lo\\       valid_lft forever preferred_lft forever
2: eth0    inet 10.213.0.10/24 brd 10.213.0.255 scope global eth0\\       valid_lft forever
== addresses6
00000000000000000000000000000001 01 80 10 80       lo
fd000050000000000000000000000010 02 40 00 80     eth0
fd000050000000000000000000000011 02 40 00 88     eth0
fe8000000000000000967cfffedceb41 02 40 20 80     eth0
== vlans
VLAN Dev name    | VLAN ID
Name-Type: VLAN_NAME_TYPE_RAW_PLUS_VID_NO_PAD
eth1.10        | 10  | eth1
== routes
Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t0100D50A\t0003\t0\t0\t0\t00000000\t0\t0\t0
eth0\t0000D50A\t00000000\t0001\t0\t0\t5\t00FFFFFF\t0\t0\t0
*\t0000400A\t00000000\t0201\t0\t0\t0\t0000FFFF\t0\t0\t0
*\t0000410A\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0
eth0\tnonsense\t00000000\t0001\t0\t0\t5\t00FFFFFF\t0\t0\t0
== routes6
fd000050000000000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000001 00000000 00000001     eth0
fd000051000000000000000000000000 40 00000000000000000000000000000000 00 fd000050000000000000000000000009 00000400 00000001 00000000 00000003     eth0
00000000000000000000000000000000 00 00000000000000000000000000000000 00 00000000000000000000000000000000 ffffffff 00000001 00000000 00200200       lo
fd000050000000000000000000000010 80 00000000000000000000000000000000 00 00000000000000000000000000000000 00000000 00000002 00000000 80200001     eth0
ff000000000000000000000000000000 08 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000001 00000000 00000001     eth0
fd000052000000000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000400 00000001 00000000 00200200       lo
== tcp
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1538 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1
   1: 0A00D50A:0016 0200D50A:C350 01 00000000:00000000 00:00000000 00000000     0        0 1
== tcp6
  sl  local_address                         remote_address                        st
   0: 00000000000000000000000000000000:0050 00000000000000000000000000000000:0000 0A 0:0
   1: 00000000000000000000000001000000:0051 00000000000000000000000000000000:0000 0A 0:0
== udp
  sl  local_address rem_address   st
  10: 00000000:0035 00000000:0000 07 0:0
== udp6
== forwarding
1
== forwarding6
0
== resolved
10.71.2.10 via 10.71.1.1 dev eth0  src 10.71.1.11 
10.71.1.1 dev eth0 src 10.71.1.11 uid 0 
    cache <redirected> expires 290sec 
fd00:71:0::1 from :: dev eth0 proto kernel src fd00:71::57 metric 256 pref medium
local 10.71.1.11 dev lo  src 10.71.1.11 
`);
  expect(guest).toEqual({
    interfaces: [
      {
        name: 'eth0',
        mac: '02:96:7c:dc:eb:41',
        isUp: true,
        addresses: ['10.213.0.10', 'fd00:50::10', 'fe80::96:7cff:fedc:eb41'],
      },
      { name: 'eth1', mac: '02:96:7c:dc:eb:42', isUp: false, addresses: [] },
      { name: 'eth1.10', mac: '02:96:7c:dc:eb:42', isUp: true, addresses: [], vlan: 10 },
      { name: 'lo', mac: '00:00:00:00:00:00', isUp: true, addresses: ['127.0.0.1', '::1'] },
    ],
    routes: [
      { to: '0.0.0.0/0', via: '10.213.0.1', dev: 'eth0', metric: 0 },
      { to: '10.213.0.0/24', dev: 'eth0', metric: 5 },
      { to: '10.64.0.0/16', dev: '*', metric: 0, isRefused: true },
      { to: '10.65.0.0/16', dev: '*', metric: 0, isRefused: true },
      { to: 'fd00:50::/64', dev: 'eth0', metric: 256 },
      { to: 'fd00:51::/64', dev: 'eth0', metric: 1024, via: 'fd00:50::9' },
      { to: 'fd00:52::/64', dev: 'lo', metric: 1024, isRefused: true },
    ],
    resolved: [
      { to: '10.71.2.10', via: '10.71.1.1', dev: 'eth0', metric: 0 },
      { to: '10.71.1.1', dev: 'eth0', metric: 0 },
      { to: 'fd00:71::1', dev: 'eth0', metric: 0 },
    ],
    listening: [
      { protocol: 'tcp', address: '127.0.0.1', port: 5432 },
      { protocol: 'tcp', address: '::', port: 80 },
      { protocol: 'tcp', address: '::1', port: 81 },
      { protocol: 'udp', address: '0.0.0.0', port: 53 },
    ],
    forwarding: true,
    forwarding6: false,
  });
  const nothing = { interfaces: [], routes: [], resolved: [], listening: [], forwarding: false, forwarding6: false };
  expect(parseGuest('anything\n== routes')).toEqual(nothing);
});
