import { type LabContext, nodeOf } from './containerlab-node.ts';
import { linkOf, wire } from './containerlab-links.ts';
import { Draft, type ImportFacts, Names } from './draft.ts';
import { type Entry, lost, type Table, tableOf, translate, unneeded } from './entry.ts';
import { subnetOf } from './subnets.ts';

/** Pure: a topology file of containerlab. */

const TOP: Table<LabContext> = tableOf<LabContext>({
  name: () => undefined,
  prefix: unneeded('a VM is called NODE/NAME'),
  // Read before the nodes, which are on it.
  mgmt: () => undefined,
  settings: lost('it is about containerlab itself'),
  debug: lost('it is about containerlab itself'),
  topology: (entry, context) => translate(entry, TOPOLOGY, context),
});

const TOPOLOGY: Table<LabContext> = tableOf<LabContext>({
  // What nodes take from these is found through them.
  defaults: () => undefined,
  kinds: () => undefined,
  groups: () => undefined,
  nodes: () => undefined,
  links: () => undefined,
});

interface Mgmt {
  name: string;
  subnet?: string;
}

const MGMT: Table<Mgmt> = tableOf<Mgmt>({
  network: (entry, mgmt) => {
    mgmt.name = new Names('network').give(entry, entry.text() ?? mgmt.name);
  },
  'ipv4-subnet': (entry, mgmt) => {
    if (entry.value === 'auto') entry.unneeded('a free subnet is chosen');
    else subnetOf(entry, mgmt);
  },
  'ipv4-gw': lost('the gateway is the first address of the subnet'),
  'ipv4-range': lost('addresses that are not said are given from .10 on'),
  'ipv6-subnet': lost('no IPv6 is taken over', 'Write `ipv6: fd00:50::/64` for the network.'),
  'ipv6-gw': lost('no IPv6 is taken over', 'Write `ipv6: fd00:50::/64` for the network.'),
  'ipv6-range': lost('no IPv6 is taken over', 'Write `ipv6: fd00:50::/64` for the network.'),
  bridge: lost('a network has no bridge of the host'),
  mtu: lost('a network of a node has an MTU of 1500'),
  'external-access': lost('what is published is said by `forward`'),
  'driver-opts': lost('options of a driver have no counterpart'),
});

export function fromContainerlab(root: Entry, facts: ImportFacts): Draft {
  const draft = new Draft();
  const mgmt: Mgmt = { name: 'mgmt' };
  const mgmtEntry = root.entry('mgmt');
  if (mgmtEntry !== undefined && !mgmtEntry.isEmpty) translate(mgmtEntry, MGMT, mgmt);
  draft.networks.set(mgmt.name, mgmt.subnet === undefined ? null : { subnet: mgmt.subnet });
  const topology = root.entry('topology') ?? root;
  const context: LabContext = {
    draft,
    facts,
    mgmt: mgmt.name,
    topology,
    names: new Names('node'),
    taken: new Set(),
    bridges: new Map(),
    links: [],
  };
  translate(root, TOP, context);
  const nodes = topology.entry('nodes');
  const declared = nodes === undefined || nodes.isEmpty ? [] : nodes.entries();
  for (const node of declared) context.names.give(node);
  for (const node of declared) nodeOf(node, context);
  const links = topology.entry('links');
  if (links !== undefined && !links.isEmpty) for (const link of links.items()) linkOf(link, context);
  wire(context);
  sayWhatNobodyTakes(context);
  return draft;
}

/** Defaults that every node has another value for, kinds and groups of no node. */
function sayWhatNobodyTakes({ topology, taken }: LabContext): void {
  const levels = [
    topology.entry('defaults'),
    ...['kinds', 'groups'].flatMap((key) => {
      const level = topology.entry(key);
      return level === undefined || level.isEmpty ? [] : level.entries();
    }),
  ];
  for (const level of levels) {
    if (level === undefined) continue;
    if (level.isEmpty) level.unneeded('it is empty');
    else
      for (const entry of level.entries())
        if (!taken.has(entry.path.join('.'))) entry.unneeded('no node takes it from here');
  }
}
