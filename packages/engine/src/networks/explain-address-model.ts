import { inCidr, parseCidr, parseIpv4 } from '@skerry/switch/address';
import { address6Of, formatIpv6, inCidr6, parseCidr6, parseIpv6 } from './addresses6.ts';
import type { FactNetwork, FactNic } from './explain-model.ts';

/** Addresses of either family, as text in its normal form. Pure. */

export function isIpv6(address: string): boolean {
  return address.includes(':');
}

export function isAddress(text: string): boolean {
  return parseIpv4(text) !== undefined || parseIpv6(text) !== undefined;
}

/** As we write it: fd00:0::1 is fd00::1. */
export function normal(address: string): string {
  const parsed = parseIpv6(address);
  return parsed === undefined || !isIpv6(address) ? address : formatIpv6(parsed);
}

/** @param range an address is the range of itself */
export function isIn(range: string, address: string): boolean {
  if (isIpv6(address)) {
    const [cidr, number] = [isIpv6(range) ? parseCidr6(range) : undefined, parseIpv6(address)];
    return cidr !== undefined && number !== undefined && inCidr6(cidr, number);
  }
  const cidr = parseCidr(range.includes('/') ? range : `${range}/32`);
  const number = parseIpv4(address);
  return cidr !== undefined && number !== undefined && inCidr(cidr, number);
}

export function prefixOf(range: string): number {
  return Number(range.split('/')[1] ?? (isIpv6(range) ? 128 : 32));
}

/** The network's range of an address's family; undefined: it has none of that family. */
export function subnetFor({ subnet, ipv6 }: FactNetwork, address: string): string | undefined {
  return isIpv6(address) ? ipv6?.subnet : subnet;
}

export function isOnNetwork(network: FactNetwork, address: string): boolean {
  const subnet = subnetFor(network, address);
  return subnet !== undefined && isIn(subnet, address);
}

/** Link-local addresses are a gateway's as well: routes that it announces lead there (RFC 4861). */
export function isGateway({ gateway, ipv6 }: FactNetwork, address: string, gatewayMac: string): boolean {
  if (!isIpv6(address)) return gateway !== '' && address === gateway;
  return ipv6 !== undefined && (address === ipv6.gateway || address === address6Of(LINK_LOCAL, gatewayMac));
}

/** What a NIC was given: the address of a family. Empty: none. */
export function givenAddress({ address, address6 }: FactNic, isV6: boolean): string {
  return isV6 ? (address6 ?? '') : address;
}

/** All that a NIC may send from: what it was given, and what a guest makes of its MAC (RFC 4291 appendix A). */
export function ownAddresses(nic: FactNic, network: FactNetwork): string[] {
  const made =
    network.ipv6 === undefined ? [] : [address6Of(network.ipv6.subnet, nic.mac), address6Of(LINK_LOCAL, nic.mac)];
  return [nic.address, nic.address6 ?? '', ...made].filter((address) => address !== '');
}

const LINK_LOCAL = 'fe80::/64';
