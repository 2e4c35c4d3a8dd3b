import { SUBNET_PREFIXES, subnetAround } from '@skerry/api';
import type { Entry } from './entry.ts';

/** Pure: the subnet of a network. */

export function subnetOf(entry: Entry, network: { subnet?: string }): void {
  const subnet = entry.text();
  if (subnet === undefined) return;
  if (subnet.includes(':')) entry.lost('no IPv6 is taken over', 'Write `ipv6: fd00:50::/64` for the network.');
  else if (network.subnet !== undefined) entry.lost(`a network has one IPv4 subnet: ${network.subnet}`);
  else if (subnetAround(subnet) === undefined) {
    entry.lost(
      `${subnet} can't be a network's subnet: a free one is chosen`,
      `Write a private range with a prefix of ${SUBNET_PREFIXES.min} to ${SUBNET_PREFIXES.max}.`,
    );
  } else network.subnet = subnet;
}
