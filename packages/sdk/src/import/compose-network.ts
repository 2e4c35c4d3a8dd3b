import type { ComposeContext } from './compose-service.ts';
import { type Entry, lost, type Table, tableOf, translate, unneeded } from './entry.ts';
import { subnetOf } from './subnets.ts';

/** Pure: a network of a compose file. */

interface Network {
  readonly name: string;
  subnet?: string;
  egress?: boolean;
}

const NETWORK: Table<Network> = tableOf<Network>({
  driver: (entry) => {
    const driver = entry.text();
    if (driver === 'bridge') entry.unneeded('every network of a node is a segment of its own');
    else if (driver !== undefined)
      entry.lost(
        `the driver ${driver} has no counterpart in a node file`,
        'Make the network itself: `skerry network create`.',
      );
  },
  driver_opts: lost('options of a driver have no counterpart'),
  internal: (entry, network) => {
    const internal = entry.flag();
    if (internal === true) network.egress = false;
    else if (internal === false) entry.unneeded('it is the default');
  },
  external: (entry, { name }) => {
    if (entry.value === false || entry.value === 'false') entry.unneeded('it is the default');
    else
      entry.lost(
        `the node has a network ${name} of its own`,
        'Nodes do not share networks; publish a port with `forward`.',
      );
  },
  name: (entry, { name }) => entry.lost(`a network of a node is called NODE-${name}`),
  attachable: unneeded('VMs are put on a network by their declaration'),
  enable_ipv4: unneeded('every network has IPv4'),
  enable_ipv6: (entry) => {
    const ipv6 = entry.flag();
    if (ipv6 === false) entry.unneeded('it is the default');
    else if (ipv6 === true) entry.lost('no IPv6 is taken over', 'Write `ipv6: fd00:50::/64` for the network.');
  },
  ipam: (entry, network) => translate(entry, IPAM, network),
  labels: lost('a network of a node has no labels'),
});

const IPAM: Table<Network> = tableOf<Network>({
  driver: (entry) => {
    if (entry.value === 'default') entry.unneeded('it is the default');
    else entry.lost('addresses are given by Skerry');
  },
  options: lost('addresses are given by Skerry'),
  config: (entry, network) => {
    for (const config of entry.items()) translate(config, IPAM_CONFIG, network);
  },
});

const IPAM_CONFIG: Table<Network> = tableOf<Network>({
  subnet: subnetOf,
  ip_range: lost('addresses that are not said are given from .10 on'),
  gateway: (entry) => {
    const gateway = entry.text();
    if (gateway?.endsWith('.1') === true) entry.changed('the gateway is the first address of the subnet');
    else if (gateway !== undefined) entry.lost('the gateway is the first address of the subnet');
  },
  aux_addresses: lost('no addresses are set aside'),
});

export function networkOf(entry: Entry, { draft, networks }: ComposeContext): void {
  const network: Network = { name: networks.give(entry) };
  if (!entry.isEmpty) translate(entry, NETWORK, network);
  const { name, ...spec } = network;
  draft.networks.set(name, Object.keys(spec).length === 0 ? null : spec);
}
