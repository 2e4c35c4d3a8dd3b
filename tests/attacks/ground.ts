import { existsSync } from 'node:fs';
import type { NetworkCreateInput, NicStatus } from '@skerry/api';
import type { TestHost } from '@skerry/testkit';
import { formatIpv6 } from '../../packages/switch/src/address6.ts';
import type { Cast } from '../../packages/switch/test/attacks.ts';
import { autoconfigured } from '../../packages/switch/test/frames6.ts';
import { LAN_RANGE, LAN_ROUTER, LAN_SUBNET6, PARENT } from './lan.ts';
import { HOST_IP, WORLD_IP } from './surroundings.ts';

/** Networks that are attacked, and VMs that are on all of them. */

/** A TCP port that access lists refuse. */
const REFUSED_PORT = 22;
export const WALLED_VLAN = 20;

/** A network, and what is special about it. */
export interface Ground {
  readonly name: string;
  /** Bridged: to a LAN of the host's. */
  readonly mode: 'nat' | 'bridged';
  readonly datapath: 'user' | 'kernel';
  readonly hasAcl: boolean;
  /** Address of the host's own loopback that leads to a guest of another network. */
  readonly forwardPort: number;
}

/** br_netfilter is not everywhere, and no access list is without it. */
const filters = existsSync('/proc/sys/net/bridge');

export const USER: Ground = { name: 'user', mode: 'nat', datapath: 'user', hasAcl: true, forwardPort: 20_081 };
export const KERNEL: Ground = { name: 'kernel', mode: 'nat', datapath: 'kernel', hasAcl: filters, forwardPort: 20_082 };
/** Without an access list frames do not pass the filters for what is routed. */
export const BARE: Ground = { name: 'bare', mode: 'nat', datapath: 'kernel', hasAcl: false, forwardPort: 20_083 };
/** As root only. */
export const LAN: Ground = { name: 'lan', mode: 'bridged', datapath: 'kernel', hasAcl: false, forwardPort: 20_084 };

/** In all networks, whom NICs are in the order of the networks of. */
export const VMS = ['eve', 'victim', 'friend', 'walled'] as const;
export const ELSEWHERE = 'elsewhere';

export async function makeNetworks({ client }: TestHost, grounds: readonly Ground[]): Promise<void> {
  for (const [index, ground] of grounds.entries()) {
    const { name, mode, datapath, forwardPort } = ground;
    const body = mode === 'nat' ? natOf(ground, index) : { parent: PARENT, dhcpRange: LAN_RANGE, confirm: true };
    await client.run('network.create', { body: { name, mode, datapath, ...body } });
    const forward = { hostAddress: '127.0.0.1', hostPort: forwardPort, vm: ELSEWHERE, guestPort: 80 };
    const forwards = [{ ...forward, protocol: 'tcp' as const }];
    await client.run('network.create', { body: { name: otherOf(name), mode: 'nat', datapath, forwards } });
  }
}

function natOf({ hasAcl, forwardPort }: Ground, index: number): Partial<NetworkCreateInput> {
  // As castSegment has them: of IPv6 no more than a ping of the gateway.
  const gateway6 = `fd00:5${index}::1`;
  const acl: NetworkCreateInput['acl'] = {
    default: 'deny',
    rules: [
      { action: 'deny', protocol: 'tcp', ports: { from: REFUSED_PORT, to: REFUSED_PORT } },
      { action: 'allow', protocol: 'tcp' },
      { action: 'allow', protocol: 'udp' },
      { action: 'allow', protocol: 'icmp', from: '0.0.0.0/0' },
      { action: 'allow', protocol: 'icmp', to: gateway6 },
    ],
  };
  const forward = { hostAddress: '127.0.0.1', hostPort: forwardPort, vm: 'victim', guestPort: 53 };
  const forwards = [{ ...forward, protocol: 'udp' as const }];
  return { ipv6: `fd00:5${index}::/64`, forwards, ...(hasAcl ? { acl } : {}) };
}

export function otherOf(name: string): string {
  return `${name}-other`;
}

/** Where it is in the VM: `eth1`. */
export function nicOf(grounds: readonly Ground[], ground: Ground): string {
  return `eth${grounds.indexOf(ground)}`;
}

/** Of VMs that are there, running or not. */
export async function castOf({ client }: TestHost, ground: Ground): Promise<Cast> {
  const { status } = await client.call('network.get', { params: { network: ground.name } });
  const isLan = ground.mode === 'bridged';
  const subnet6 = status.ipv6?.subnet ?? LAN_SUBNET6;
  const nicOn = async (vm: string, network: string): Promise<NicStatus> => {
    const found = (await client.call('vm.get', { params: { vm } })).status.nics.find((nic) => nic.network === network);
    if (found === undefined) throw new Error(`${vm} is not on ${network}`);
    return found;
  };
  const station = async (vm: string) => {
    const { mac, address, address6 } = await nicOn(vm, ground.name);
    return { mac, address, address6: address6 ?? formatIpv6(autoconfigured(subnet6, mac)) };
  };
  const [eve, victim, friend, walled] = await Promise.all(VMS.map((vm) => station(vm)));
  const { gateway } = status;
  const inSubnet = (last: number): string => gateway.replace(/\d+$/, String(last));
  return {
    eve: eve!,
    victim: victim!,
    friend: friend!,
    walled: walled!,
    gateway: isLan ? LAN_ROUTER : { mac: macOf(gateway), address: gateway, address6: status.ipv6?.gateway ?? '' },
    subnet6,
    host: HOST_IP,
    elsewhere: (await nicOn(ELSEWHERE, otherOf(ground.name))).address,
    outside: WORLD_IP,
    alias: inSubnet(3),
    broadcast: inSubnet(255),
    refusedPort: REFUSED_PORT,
    forwardPort: ground.forwardPort,
  };
}

/** Of the gateway, on both datapaths: that of slirp. */
function macOf(gateway: string): string {
  const bytes = gateway.split('.').map((part) => Number(part).toString(16).padStart(2, '0'));
  return ['52', '55', ...bytes].join(':');
}
