import { SkerryError, type DhcpRange, type Network, type NetworkSpec } from '@skerry/api';
import { formatIpv4, inCidr, lastAddress, parseCidr, parseIpv4 } from '@skerry/switch/address';
import { checkSubnet } from './addresses.ts';

/**
 * The network that an interface of the host is in, which others have made: its addresses are theirs, and we know only of those
 * that we were given. Pure.
 */

/** Of the interface: its addresses and routes, as the host's own. */
export interface LanFacts {
  readonly addresses: readonly string[];
  readonly routes: readonly string[];
}

/**
 * @param used subnets of our networks
 * @throws SkerryError `invalid` (nobody says which subnet it is), `in-use`
 */
export function lanOf({ parent = '', subnet }: NetworkSpec, lan: LanFacts, used: readonly string[]) {
  const own = lan.addresses.find((address) => parseCidr(address) !== undefined);
  const text = subnet ?? own;
  if (text === undefined) {
    throw new SkerryError('invalid', `${parent} has no IPv4 address that would say which subnet it is in`, {
      remedy: 'Name it: --subnet 192.168.1.0/24.',
      details: { parent },
    });
  }
  // That the host has a route to it is what it is for.
  const checked = checkSubnet(text, used, []);
  const cidr = parseCidr(checked)!;
  const router = lan.routes.flatMap((route) => /^0\.0\.0\.0\/0 via ([\d.]+)/.exec(route)?.[1] ?? []);
  return { subnet: checked, gateway: router.find((address) => inCidr(cidr, parseIpv4(address)!)) ?? '' };
}

/** @throws SkerryError `invalid` */
export function checkLanRange(subnet: string, { from, to }: DhcpRange): void {
  const cidr = parseCidr(subnet)!;
  const [first = -1, last = -1] = [parseIpv4(from), parseIpv4(to)];
  if (inCidr(cidr, first) && inCidr(cidr, last) && first > cidr.base && last < lastAddress(cidr) && first <= last)
    return;
  throw new SkerryError('invalid', `${from}-${to} is no range of addresses of ${subnet}`, {
    remedy:
      'Choose a first and a last address of it, the lower one first, that nobody else on that network gives away.',
  });
}

/** @throws SkerryError `invalid`: what is between VMs and others on a LAN is not ours to rule */
export function checkLanFields(spec: NetworkSpec): void {
  const field = (['ipv6', 'acl', 'forwards'] as const).find((each) => {
    const value = spec[each];
    return Array.isArray(value) ? value.length > 0 : value !== undefined;
  });
  if (field === undefined) return;
  throw new SkerryError('unsupported', `A bridged network has no ${field}: its VMs are on the LAN itself`, {
    remedy: 'Leave it out, or use a network of mode nat.',
    details: { field },
  });
}

type LanNetwork = Pick<Network, 'name' | 'spec' | 'status'>;

/** Nobody is put on what may go in a moment. @throws SkerryError `conflict` */
export function assertConfirmed({ name, spec, status }: LanNetwork): void {
  if (spec.mode !== 'bridged' || status.uplink?.confirmed === true) return;
  throw new SkerryError('conflict', `The network '${name}' is not confirmed yet, and goes again unless it is`, {
    remedy: `Type: skerry network confirm ${name}`,
  });
}

/**
 * An address for a NIC: the one that is wanted, or the lowest free one of the range that was set aside for VMs.
 * @throws SkerryError `invalid`, `in-use`, `no-space`, `conflict` (not confirmed yet)
 */
export function lanAddress({ name, spec, status }: LanNetwork, used: ReadonlySet<string>, wanted?: string): string {
  assertConfirmed({ name, spec, status });
  const { subnet, gateway, uplink } = status;
  const cidr = parseCidr(subnet)!;
  const taken = new Set([...used, gateway, ...(uplink?.addresses ?? []).map((address) => address.split('/')[0] ?? '')]);
  if (wanted !== undefined) {
    const address = parseIpv4(wanted);
    if (address === undefined || !inCidr(cidr, address) || address === cidr.base || address === lastAddress(cidr)) {
      throw new SkerryError('invalid', `${wanted} is no address for a VM in ${subnet}`, {
        remedy: 'Choose one of that subnet that nobody else on it has.',
      });
    }
    if (!taken.has(wanted)) return wanted;
    throw new SkerryError('in-use', `${wanted} belongs to another VM, the host or the router of ${subnet}`, {
      remedy: 'Choose one that nobody else has.',
      details: { address: wanted },
    });
  }
  if (spec.dhcpRange === undefined) {
    throw new SkerryError('invalid', `Nobody has said which addresses of ${subnet} are free for VMs`, {
      remedy: `Give the NIC one (in a file: nics: [{network: ${name}, address: ...}]; skerry nic add VM --network ${name} --ip ADDRESS), or make the network with --dhcp-range FIRST-LAST.`,
      details: { network: name },
    });
  }
  const { from, to } = spec.dhcpRange;
  for (let address = parseIpv4(from)!; address <= parseIpv4(to)!; address += 1)
    if (!taken.has(formatIpv4(address))) return formatIpv4(address);
  throw new SkerryError('no-space', `All addresses from ${from} to ${to} are in use`, {
    remedy: 'Delete VMs that are not needed, or give the NIC an address of its own with --ip.',
    details: { subnet, from, to },
  });
}

/** @throws SkerryError `unsupported` */
export function assertLanNic(
  nic: { readonly vlan?: unknown; readonly trunk?: unknown },
  mode: NetworkSpec['mode'],
): void {
  if (mode !== 'bridged' || (nic.vlan === undefined && nic.trunk === undefined)) return;
  throw new SkerryError('unsupported', 'A NIC on a bridged network has no VLAN', {
    remedy: 'Leave --vlan and --trunk out; bridge an interface of that VLAN (ip link add link eno1 type vlan) instead.',
  });
}
