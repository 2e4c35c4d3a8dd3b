import type { ExplainAsk } from '@skerry/api';
import { expect, describe, test } from 'vitest';
import { explain } from '../../src/networks/explain-plan.ts';
import { addVm, random, type World, worldOf } from './explain-world.ts';

/** Ends, networks and VLANs of every kind, beside those that the random worlds are made of. */

const PORT = 80;

/** web and db on n0 (nat), hidden on n1 (isolated). */
function worldWith(change: (world: World) => void = () => {}, hasIpv6 = false): World {
  let world: World;
  let seed = 0;
  do world = { ...worldOf(random(++seed)), vms: [], faults: [], forwards: [] };
  while ((world.networks[0]!.ipv6 !== undefined) !== hasIpv6);
  for (const network of world.networks) delete network.acl;
  addVm(world, 'web', [0]);
  addVm(world, 'db', [0]);
  addVm(world, 'hidden', [1]);
  change(world);
  return world;
}

function said(world: World, from: string, to: string, more: Partial<ExplainAsk> = {}): string {
  const ask = { from, to, port: PORT, protocol: 'tcp' as const, ipv6: false, ...more };
  const { reachable, cause } = explain(ask, world);
  return cause === undefined ? reachable : `${reachable}: ${cause.kind} ${cause.at} | ${cause.remedy}`;
}
const ping = { port: undefined };
const vmOf = (world: World, name: string) => world.vms.find((vm) => vm.name === name)!;

describe('from the host', () => {
  const forward = { hostAddress: '127.0.0.1', hostPort: 8080, vm: 'web', guestPort: PORT, protocol: 'tcp' as const };
  test('by a forward alone, where the host is not on the network', () => {
    expect(said(worldWith(), 'host', 'web')).toBe(
      'no: network n0 | skerry network forward add n0 --host 8080 --to web:80',
    );
    expect(said(worldWith(), 'host', 'web', ping)).toMatch(/^no: network n0 /);
    const world = worldWith(({ forwards }) => forwards.push(forward));
    expect(said(world, 'host', 'web')).toBe('yes');
    expect(said(world, 'host', 'web', { protocol: 'udp' })).toMatch(/^no: network n0 .*--proto udp$/);
    expect(said(world, '198.51.100.7', 'web')).toBe(
      'no: host 127.0.0.1:8080 | skerry network forward add n0 --host 0.0.0.0:8080 --to web:80',
    );
    world.forwards.push({ ...forward, hostAddress: '0.0.0.0', hostPort: 8081 });
    expect(said(world, '198.51.100.7', 'web')).toBe('yes');
  });

  test('a forward through the agent ends at the loopback of the guest, and needs no network', () => {
    const world = worldWith(({ forwards }) => forwards.push({ ...forward, network: 'n0' }));
    const web = vmOf(world, 'web');
    web.nics[0]!.linkUp = false;
    web.guest!.listening[0]!.address = '127.0.0.1';
    expect(said(world, 'host', 'web')).toBe('yes');
    web.guest!.listening[0]!.address = web.nics[0]!.address;
    expect(said(world, 'host', 'web')).toMatch(/^no: service web /);
    web.hasAgent = false;
    expect(said(world, 'host', 'web')).toMatch(/^no: vm web /);
    world.networks[0]!.datapath = 'kernel';
    expect(said(world, 'host', 'web')).toMatch(/^no: nic web:eth0 .*--link up$/);
  });

  test('in the kernel the host is a neighbour, but of isolated networks', () => {
    const world = worldWith(({ networks }) => networks.forEach((network) => (network.datapath = 'kernel')));
    expect(said(world, 'host', 'web')).toBe('yes');
    expect(said(world, 'host', 'web', ping)).toBe('yes');
    expect(said(world, 'host', 'hidden')).toMatch(/^no: network n1 /);
    world.faults.push({ name: 'freeze-1', spec: { kind: 'freeze', vm: 'web' } });
    expect(said(world, 'host', 'web')).toBe('no: fault freeze-1 | skerry fault clear freeze-1');
  });

  test('and into it', () => {
    expect(said(worldWith(), 'web', 'host')).toMatch(/^no: host n0 /);
    const world = worldWith(({ networks }) => Object.assign(networks[0]!, { mode: 'host-only', datapath: 'kernel' }));
    expect(said(world, 'web', 'host')).toBe('yes');
    expect(said(world, 'web', '192.0.2.1')).toBe('no: host n0 | Use 10.1.0.1.');
  });

  test('a VM that is called so is meant, and two others are none of ours', () => {
    const world = worldWith((made) => void addVm(made, 'host', [0]));
    expect(said(world, 'host', 'web')).toBe('yes');
    expect(() => said(worldWith(), 'host', '198.51.100.7')).toThrow(/Neither end is a VM/);
    expect(() => said(worldWith(), 'nobody', 'web')).toThrow(/no VM 'nobody'/);
  });
});

describe('networks whose other ends are elsewhere', () => {
  test.each([['bridged'], ['overlay']] as const)('%s: who is no VM is not known', (mode) => {
    const world = worldWith(({ networks }) => Object.assign(networks[0]!, { mode, datapath: 'kernel' }));
    expect(said(world, 'web', 'db')).toBe('yes');
    expect(said(world, 'web', '10.1.0.99')).toBe('unknown');
    expect(said(world, 'web', '198.51.100.7')).toMatch(mode === 'bridged' ? /^unknown$/ : /^no: network n0 /);
    if (mode === 'bridged') expect(said(world, '192.168.9.9', 'web')).toBe('yes');
  });

  test('what the kernel lacks is in the way of its networks alone', () => {
    const world = worldWith((made) => (made.kernelLacks = ['rules']));
    expect(said(world, 'web', 'db')).toBe('yes');
    world.networks[0]!.datapath = 'kernel';
    expect(said(world, 'web', 'db')).toMatch(/^no: host n0 \| Ask again/);
  });

  test('who is on a LAN of the host is reached by a way out, and by nobody without one', () => {
    const world = worldWith((made) => {
      made.networks[1]!.mode = 'bridged';
    });
    const { subnet } = world.networks[1]!;
    const there = subnet.replace(/\d+\/\d+$/, '77');
    expect(said(world, 'web', there)).toBe('yes');
    world.networks[0]!.mode = 'isolated';
    expect(said(world, 'web', there)).toMatch(/^no: /);
  });

  test('metadata, one link only and what networks are given are never let out', () => {
    expect(said(worldWith(), 'web', '10.213.77.5')).toBe('no: network n0 | skerry network list');
    expect(said(worldWith(), 'web', '169.254.169.254')).toMatch(/^no: host n0 /);
  });
});

describe('a NIC that the file of a node declares', () => {
  const declared = (change: (nic: World['vms'][number]['nics'][number]) => void): World =>
    worldWith((made) => {
      for (const vm of made.vms) for (const nic of vm.nics) nic.node = 'lab';
      change(vmOf(made, 'db').nics[0]!);
    });

  test.each([
    [
      { vlan: 20 },
      'no: vlan db:eth0 | Take `vlan` away from eth0 of db in the file of lab, then type `skerry up FILE`.',
    ],
    [
      { linkUp: false },
      'no: nic db:eth0 | Write `link: up` for eth0 of db in the file of lab, then type `skerry up FILE`.',
    ],
  ])('is not to be changed by hand: %o', (change, answer) => {
    expect(
      said(
        declared((nic) => Object.assign(nic, change)),
        'web',
        'db',
      ),
    ).toBe(answer);
  });
});

describe('a route that a VM is told when it starts', () => {
  const routed = (change: (web: World['vms'][number]) => void): World =>
    worldWith((made) => {
      made.networks[0]!.routes = [{ to: '10.8.0.0/16', via: vmOf(made, 'db').nics[0]!.address }];
      change(vmOf(made, 'web'));
    });
  const far = '10.8.0.9';

  test('and does not have is named, and how it gets it', () => {
    const world = routed(({ guest }) => (guest!.routes = guest!.routes.filter(({ to }) => to !== '0.0.0.0/0')));
    const via = vmOf(world, 'db').nics[0]!.address;
    expect(said(world, 'web', far)).toBe(`no: route web | skerry exec web -- ip route add 10.8.0.0/16 via ${via}`);
    vmOf(world, 'web').routes = [{ to: '10.8.0.0/24', via: '10.1.0.200' }];
    expect(said(world, 'web', far)).toBe('no: route web | skerry exec web -- ip route add 10.8.0.0/24 via 10.1.0.200');
  });

  test('and that leads to nobody is not one to delete', () => {
    const lead = (via: string) => (web: World['vms'][number]) =>
      void web.guest!.routes.push({ to: '10.8.0.0/16', via, dev: 'eth0', metric: 0 });
    const world = routed(lead('10.1.0.201'));
    expect(said(world, 'web', far)).toBe('no: route web | skerry exec web -- ip route del 10.8.0.0/16 via 10.1.0.201');
    world.networks[0]!.routes = [{ to: '10.8.0.0/16', via: '10.1.0.201' }];
    expect(said(world, 'web', far)).toMatch(/^no: route web \| Give 10\.1\.0\.201 to a VM/);
  });

  test('and that a router has redirected is to be forgotten', () => {
    const world = worldWith();
    const { guest } = vmOf(world, 'web');
    const { address } = vmOf(world, 'db').nics[0]!;
    guest!.resolved = [{ to: address, dev: 'eth0', metric: 0 }];
    expect(said(world, 'web', 'db')).toBe('yes');
    guest!.resolved = [{ to: address, via: '10.1.0.1', dev: 'eth0', metric: 0 }];
    expect(said(world, 'web', 'db')).toBe('no: route web | skerry exec web -- ip route flush cache');
    guest!.resolved = [{ to: '198.51.100.7', via: '10.1.0.1', dev: 'eth0', metric: 0 }];
    expect(said(world, 'web', '198.51.100.7')).toBe('yes');
  });

  test('is taken to be there in a guest that can not be asked', () => {
    const world = routed((web) => (web.guest = undefined));
    expect(said(world, 'web', far)).toMatch(/^no: router db /);
  });
});

describe('VLANs', () => {
  const tagged = (world: World, name: string, vlan: number): void => {
    const { nics, guest } = vmOf(world, name);
    const [nic] = nics;
    nic!.trunk = [{ from: 10, to: 20 }];
    guest!.interfaces[0]!.addresses = [];
    guest!.interfaces.push({ name: `eth0.${vlan}`, mac: nic!.mac, isUp: true, addresses: [nic!.address], vlan });
    guest!.routes = [{ to: '10.1.0.0/24', dev: `eth0.${vlan}`, metric: 0 }];
  };
  test('two NICs of one network in different ones', () => {
    const world = worldWith((made) => (vmOf(made, 'web').nics[0]!.vlan = 10));
    expect(said(world, 'web', 'db')).toBe('no: vlan db:eth0 | skerry nic set db eth0 --vlan 10');
    expect(said(world, 'db', 'web')).toBe('no: vlan web:eth0 | skerry nic set web eth0 --vlan none');
    vmOf(world, 'db').nics[0]!.vlan = 10;
    expect(said(world, 'web', 'db')).toBe('yes');
  });

  test('the gateway is in none', () => {
    const world = worldWith((made) => (vmOf(made, 'web').nics[0]!.vlan = 10));
    for (const to of ['198.51.100.7', '10.1.0.1'])
      expect(said(world, 'web', to)).toBe('no: vlan web:eth0 | skerry nic add web --network n0');
  });

  test('a trunk, whose guest tags', () => {
    const world = worldWith((made) => tagged(made, 'web', 10));
    vmOf(world, 'db').nics[0]!.vlan = 10;
    expect(said(world, 'web', 'db')).toBe('yes');
    expect(said(world, 'db', 'web')).toBe('yes');
    vmOf(world, 'db').nics[0]!.vlan = 11;
    expect(said(world, 'db', 'web')).toMatch(
      /^no: vlan web:eth0 \| .*ip link add link eth0 name eth0.11 type vlan id 11$/,
    );
    expect(said(world, 'web', 'db')).toBe('no: vlan db:eth0 | skerry nic set db eth0 --vlan 10');
  });

  test('a tag that the NIC may not send, and frames without one on a trunk', () => {
    const world = worldWith((made) => tagged(made, 'web', 30));
    expect(said(world, 'web', 'db')).toBe('no: vlan web:eth0 | skerry nic set web eth0 --trunk 10-20,30');
    const plain = worldWith((made) => (vmOf(made, 'db').nics[0]!.trunk = [{ from: 10, to: 20 }]));
    expect(said(plain, 'db', 'web')).toMatch(/^no: vlan db:eth0 .*type vlan id 10`\.$/);
    expect(said(plain, 'web', 'db')).toMatch(/^no: vlan db:eth0 /);
  });
});

describe('IPv6', () => {
  const ipv6 = { ipv6: true };
  test('between VMs, by name and by address, and its rules', () => {
    const world = worldWith(undefined, true);
    expect(said(world, 'web', 'db', ipv6)).toBe('yes');
    expect(said(world, 'web', 'fd00:1:0::11', ping)).toBe('yes');
    const rule = { id: 3, action: 'deny' as const, from: 'any', to: 'fd00:1::/64', protocol: 'icmp' as const };
    world.networks[0]!.acl = { default: 'allow', rules: [rule] };
    expect(said(world, 'web', 'db', { ...ipv6, ...ping })).toBe('no: acl n0/3 | skerry network acl remove n0 3');
    expect(said(world, 'web', 'db', ipv6)).toBe('yes');
    expect(said(world, 'web', 'db', ping)).toBe('yes');
  });

  test('a network without it, and the world', () => {
    expect(said(worldWith(), 'web', 'db', ipv6)).toMatch(/^no: network n0 \| Use a network that was made with --ipv6/);
    const world = worldWith(undefined, true);
    expect(said(world, 'web', '2001:db8::1')).toMatch(/^no: route .*ip -6 route add default via fd00:1::1/);
    vmOf(world, 'web').guest!.routes.push({ to: '::/0', via: 'fd00:1::1', dev: 'eth0', metric: 0 });
    for (const datapath of ['user', 'kernel'] as const) {
      world.networks[0]!.datapath = datapath;
      expect(said({ ...world, hostLeadsOut6: false }, 'web', '2001:db8::1')).toMatch(/^no: network n0 \| Use IPv4/);
      expect(said(world, 'web', '2001:db8::1')).toBe('yes');
    }
    expect(said(world, 'web', 'fd00:1::1', ping)).toBe('yes');
  });

  test('a service that listens in IPv4 alone', () => {
    const world = worldWith((made) => (vmOf(made, 'db').guest!.listening[0]!.address = '0.0.0.0'), true);
    expect(said(world, 'web', 'db')).toBe('yes');
    expect(said(world, 'web', 'db', ipv6)).toMatch(/^no: service db \| Have it listen at ::/);
  });
});
