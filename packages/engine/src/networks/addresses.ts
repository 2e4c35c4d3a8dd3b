import { createHash } from 'node:crypto';
import { SkerryError, type DhcpRange } from '@skerry/api';
import {
  cidrsOverlap,
  formatIpv4,
  formatMac,
  inCidr,
  lastAddress,
  parseCidr,
  parseIpv4,
  type Cidr,
} from '@skerry/switch/address';

/** Which subnet, address and MAC something gets. Pure: what is taken is passed in, so that what is given stays given. */

/** Networks that name no subnet get a /24 of this. */
export const SUBNET_POOL = '10.213.0.0/16';
/** Links get a /30 of this. */
export const LINK_POOL = '10.214.0.0/16';
/** Guests of a network that is large enough start here: what is below is for the gateway and what may join it. */
const FIRST_GUEST = 10;
const FIRST_GUEST_OF_SMALL = 3;

/**
 * @param used subnets of our networks
 * @param hostRoutes where the host itself has a route to: those would become unreachable for guests, or guests for it
 * @param kind a link has room for two addresses, and no gateway
 * @throws SkerryError `no-space`
 */
export function allocateSubnet(
  used: readonly string[],
  hostRoutes: readonly string[],
  kind: 'lan' | 'link' = 'lan',
): string {
  const [poolText, prefix] = kind === 'lan' ? [SUBNET_POOL, 24] : [LINK_POOL, 30];
  const pool = parseCidr(poolText)!;
  // A default route covers everything and takes nothing.
  const taken = [...used, ...hostRoutes].flatMap((text) => parseCidr(text) ?? []).filter((cidr) => cidr.prefix > 0);
  for (let base = pool.base; base <= lastAddress(pool); base += 2 ** (32 - prefix)) {
    const candidate = parseCidr(`${formatIpv4(base)}/${prefix}`)!;
    if (!taken.some((cidr) => cidrsOverlap(cidr, candidate))) return formatCidr(candidate);
  }
  throw new SkerryError('no-space', `No /${prefix} of ${poolText} is free`, {
    remedy: 'Delete networks that are not needed, or give the network a subnet of its own.',
    details: { pool: poolText, networks: used.length },
  });
}

/**
 * A subnet that a person wrote, in its normal form (`10.1.2.3/24` becomes `10.1.2.0/24`).
 * @throws SkerryError `invalid`, `in-use` when it overlaps one of `used` or a route of the host
 */
export function checkSubnet(text: string, used: readonly string[], hostRoutes: readonly string[]): string {
  const subnet = text.includes('/') ? parseCidr(text) : undefined;
  const first = subnet === undefined ? 0 : subnet.base >>> 24;
  // slirp wants room for its own aliases; a larger one than /8 is no subnet of anybody's.
  if (subnet === undefined || subnet.prefix < 8 || subnet.prefix > 28 || first === 0 || first === 127 || first >= 224) {
    throw new SkerryError('invalid', `${text} can not be a network's subnet`, {
      remedy: 'Use a private IPv4 range with a prefix of 8 to 28, such as 10.20.30.0/24.',
    });
  }
  const clash = [...used, ...hostRoutes].find((other) => {
    const cidr = parseCidr(other);
    return cidr !== undefined && cidr.prefix > 0 && cidrsOverlap(cidr, subnet);
  });
  if (clash !== undefined) {
    throw new SkerryError('in-use', `${text} overlaps ${clash}, which is in use on this host`, {
      remedy: 'Choose another subnet, or leave it out to have a free one chosen.',
      details: { subnet: text, other: clash },
    });
  }
  return formatCidr(subnet);
}

/** The first usable address of a subnet. */
export function gatewayOf(subnet: string): string {
  return formatIpv4(cidrOf(subnet).base + 1);
}

export interface AddressRules {
  /** What DHCP gives to strangers: not for VMs. */
  readonly dhcpRange?: DhcpRange | undefined;
  /** Without a gateway: both addresses of its /30 are for NICs. */
  readonly isLink?: boolean | undefined;
}

/**
 * The lowest free address, or `wanted` if that is one of the subnet's and free.
 * @throws SkerryError `no-space`, `invalid`, `in-use`
 */
export function allocateAddress(
  subnet: string,
  used: ReadonlySet<string>,
  wanted?: string,
  { dhcpRange, isLink = false }: AddressRules = {},
): string {
  const cidr = cidrOf(subnet);
  const last = lastAddress(cidr) - 1;
  if (wanted !== undefined) return checkAddress(cidr, subnet, used, wanted, { dhcpRange, isLink });
  const first = cidr.base + (isLink ? 1 : cidr.prefix <= 26 ? FIRST_GUEST : FIRST_GUEST_OF_SMALL);
  for (let address = first; address <= last; address += 1) {
    const text = formatIpv4(address);
    if (!used.has(text) && !isInRange(dhcpRange, address)) return text;
  }
  throw new SkerryError('no-space', `All addresses of ${subnet} are in use`, {
    remedy: isLink
      ? 'A link has two ends: make another one (`skerry link create`), or a network for more NICs.'
      : dhcpRange === undefined
        ? 'Delete VMs that are not needed, or use another network.'
        : `Delete VMs that are not needed, or make a network whose --dhcp-range is smaller than ${formatRange(dhcpRange)}.`,
    details: { subnet, used: used.size },
  });
}

function checkAddress(
  cidr: Cidr,
  subnet: string,
  used: ReadonlySet<string>,
  wanted: string,
  { dhcpRange, isLink }: AddressRules,
): string {
  const address = parseIpv4(wanted);
  const first = firstUsable(cidr, isLink);
  if (address === undefined || !inCidr(cidr, address) || address < first || address === lastAddress(cidr)) {
    throw new SkerryError('invalid', `${wanted} is no address for a VM in ${subnet}`, {
      remedy: `Choose one from ${formatIpv4(first)} to ${formatIpv4(lastAddress(cidr) - 1)}, or leave it out.`,
    });
  }
  if (dhcpRange !== undefined && isInRange(dhcpRange, address)) {
    throw new SkerryError('in-use', `${wanted} is one that DHCP gives to guests of ${subnet}`, {
      remedy: `Choose one that is not in ${formatRange(dhcpRange)}, or leave it out.`,
      details: { address: wanted },
    });
  }
  if (used.has(wanted)) {
    throw new SkerryError('in-use', `${wanted} belongs to another VM`, {
      remedy: 'Choose another address, or leave it out to have a free one chosen.',
      details: { address: wanted },
    });
  }
  return wanted;
}

/** The network's own address, the gateway's, and the alias next to it that slirp reserves are not for VMs. */
function firstUsable(cidr: Cidr, isLink = false): number {
  return cidr.base + (isLink ? 1 : 3);
}

/**
 * What DHCP may give, as a person wrote it.
 * @throws SkerryError `invalid`
 */
export function checkDhcpRange(subnet: string, range: DhcpRange): DhcpRange {
  const cidr = cidrOf(subnet);
  const [from = -1, to = -1] = [parseIpv4(range.from), parseIpv4(range.to)];
  const last = lastAddress(cidr) - 1;
  const isInside = inCidr(cidr, from) && inCidr(cidr, to) && from >= firstUsable(cidr) && to <= last;
  if (isInside && from <= to) return range;
  throw new SkerryError('invalid', `${formatRange(range)} is no range of addresses for guests of ${subnet}`, {
    remedy: `Choose a first and a last address from ${formatIpv4(firstUsable(cidr))} to ${formatIpv4(last)}, the lower one first.`,
  });
}

function isInRange(range: DhcpRange | undefined, address: number): boolean {
  return range !== undefined && address >= parseIpv4(range.from)! && address <= parseIpv4(range.to)!;
}

function formatRange({ from, to }: DhcpRange): string {
  return `${from}-${to}`;
}

/** Always the same for the same NIC: locally administered, and never in the range of gateways (52:55). */
export function macFor(vmId: string, nicIndex: number): string {
  const hash = createHash('sha256').update(`${vmId}/${nicIndex}`).digest();
  return formatMac(0x02 * 2 ** 40 + hash.readUIntBE(0, 5));
}

/**
 * The gateway has the MAC that slirp gives itself, so that no frame between it and a guest has to be rewritten:
 * 52:55 and the address (libslirp, special_ethaddr).
 */
export function gatewayMacOf(gateway: string): string {
  return formatMac(0x5255 * 2 ** 32 + parseIpv4(gateway)!);
}

/** The address that slirp's DNS alias takes: no guest gets it, and the switch lets no one reach it. */
export function slirpDnsOf(subnet: string): string {
  return formatIpv4(cidrOf(subnet).base + 2);
}

function cidrOf(subnet: string): Cidr {
  const cidr = parseCidr(subnet);
  if (cidr === undefined) throw new SkerryError('internal', `${subnet} is no subnet`);
  return cidr;
}

function formatCidr(cidr: Cidr): string {
  return `${formatIpv4(cidr.base)}/${cidr.prefix}`;
}
