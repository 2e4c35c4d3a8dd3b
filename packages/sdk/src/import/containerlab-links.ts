import { MAX_NICS } from '@skerry/api';
import type { LabContext, LinkEnd } from './containerlab-node.ts';
import type { Draft, DraftNic } from './draft.ts';
import { type Entry, lost, type Table, tableOf, textInto, translate } from './entry.ts';
import { addressWithPrefixOf, macOf } from './nics.ts';

/** Pure: links of a containerlab topology: wires between two VMs, and NICs on the network that a bridge became. */

interface Link {
  readonly ends: End[];
}

interface End {
  /** Where its interface is named. */
  readonly entry: Entry;
  readonly node: string;
  readonly interface: string;
  readonly mac?: Entry | undefined;
  readonly ipv4?: Entry | undefined;
}

const LINK: Table<Link> = tableOf<Link>({
  type: (entry) => entry.unneeded('it is the default'),
  endpoints: (entry, { ends }) => {
    for (const item of entry.items()) {
      const end = item.isMapping ? longEnd(item) : shortEnd(item);
      if (end !== undefined) ends.push(end);
    }
  },
  mtu: lost('a link has an MTU of 1500'),
  labels: lost('a link has no labels'),
  vars: lost('it is about a network operating system, which the VM is not'),
});

interface LongEnd {
  node?: string;
  interface?: string;
  mac?: Entry;
  ipv4?: Entry;
}

const LONG: Table<LongEnd> = tableOf<LongEnd>({
  node: textInto('node'),
  interface: textInto('interface'),
  // Whether they can be had depends on what the link leads to.
  mac: (entry, into) => void (into.mac = entry),
  ipv4: (entry, into) => void (into.ipv4 = entry),
  ipv6: lost('no IPv6 is taken over', 'Begin the command with `ip address add ADDRESS dev NIC`.'),
  vars: lost('it is about a network operating system, which the VM is not'),
});

function longEnd(entry: Entry): End | undefined {
  const long: LongEnd = {};
  translate(entry, LONG, long);
  const { node, interface: name, ...wishes } = long;
  if (node !== undefined && name !== undefined)
    return { entry: entry.entry('interface') ?? entry, node, interface: name, ...wishes };
  entry.lost('it names no node and interface');
  return undefined;
}

function shortEnd(entry: Entry): End | undefined {
  const match = /^(?<node>[^:]+):(?<interface>.+)$/.exec(entry.text() ?? '')?.groups;
  if (match === undefined) {
    entry.lost('it is not NODE:INTERFACE');
    return undefined;
  }
  return { entry, node: match['node'] ?? '', interface: match['interface'] ?? '' };
}

const TO_VETH = 'a link is between two VMs, or leads to a bridge';

export function linkOf(entry: Entry, context: LabContext): void {
  const type = entry.entry('type');
  if (type !== undefined && type.value !== 'veth') {
    const kind = type.text() ?? 'unknown';
    for (const each of entry.entries()) each.lost(`a link of type ${kind} has no counterpart: ${TO_VETH}`);
    return;
  }
  const link: Link = { ends: [] };
  translate(entry, LINK, link);
  const [a, b, ...more] = link.ends;
  if (a === undefined || b === undefined || more.length > 0) {
    entry.lost('a link has two ends');
    return;
  }
  const [toA, toB] = [placeOf(a, context), placeOf(b, context)];
  if (toA === undefined || toB === undefined) {
    const missing = [...(toA === undefined ? [a.node] : []), ...(toB === undefined ? [b.node] : [])];
    entry.lost(`${missing.join(', ')}: no VM and no bridge of this topology; ${TO_VETH}`);
    return;
  }
  const ends = [toA, toB].filter((place) => 'vm' in place);
  const network = [toA, toB].find((place) => 'network' in place)?.network;
  if (ends.length === 0) {
    entry.lost('two networks are not joined', 'Put a VM with `role: router` on both.');
  } else if (ends.length === 2 && ends[0]?.vm === ends[1]?.vm) {
    entry.lost('both its ends are at one VM: a link is a wire between two');
  } else if (ends.some((end) => isTaken(end, context))) {
    entry.lost('one of its interfaces is in another link already');
  } else {
    const full = ends.find(({ vm }) => nicsOf(vm, context) === MAX_NICS);
    if (full === undefined) context.links.push({ ends, network });
    else entry.lost(`a VM has at most ${MAX_NICS} NICs, and ${full.vm} has as many`);
  }
}

/** A network, or the end of a wire. */
function placeOf(end: End, { bridges, names, draft }: LabContext): LinkEnd | { readonly network: string } | undefined {
  const network = bridges.get(end.node);
  if (network !== undefined) {
    for (const each of [end.mac, end.ipv4]) each?.lost('it is the end at a network, which has no NIC there');
    return { network };
  }
  const vm = names.get(end.node);
  return vm === undefined || !draft.vms.has(vm) ? undefined : { ...end, vm };
}

function isTaken(end: LinkEnd, { links }: LabContext): boolean {
  return links.some(({ ends }) => ends.some((each) => each.vm === end.vm && each.interface === end.interface));
}

/** With eth0, which is on the network of all. */
function nicsOf(vm: string, { links }: LabContext): number {
  return 1 + links.filter(({ ends }) => ends.some((end) => end.vm === vm)).length;
}

/** Gives the NICs their names: eth0 is on the network of all, then come those on bridges, then the wires. */
export function wire({ draft, links }: LabContext): void {
  const names = new Map<LinkEnd, string>();
  for (const [vm, draftVm] of draft.vms) {
    const ofVm = links
      .flatMap(({ ends, network }) => ends.flatMap((end) => (end.vm === vm ? [{ end, network }] : [])))
      .toSorted((a, b) => byInterface(a.end, b.end));
    const bridged = ofVm.filter(({ network }) => network !== undefined);
    // Commands of the lab give it addresses there; only a router may have others than the network gives.
    if (bridged.length > 0) draftVm.role = 'router';
    for (const [index, { end, network }] of [
      ...bridged,
      ...ofVm.filter((each) => each.network === undefined),
    ].entries()) {
      const name = `eth${index + 1}`;
      names.set(end, name);
      if (name !== end.interface)
        end.entry.changed(
          `${end.interface} of ${vm} is ${name}`,
          'Change the name where the commands of the VM use it.',
        );
      if (network === undefined) sayWires(end);
      else bridgedNic(end, network, draft);
    }
  }
  for (const { ends } of links) {
    const [from, to] = ends.map((end) => `${end.vm}:${names.get(end)}`);
    if (from !== undefined && to !== undefined) draft.links.push([from, to]);
  }
}

function sayWires({ mac, ipv4 }: LinkEnd): void {
  mac?.lost(
    "the MAC of a link's end follows from its VM's id",
    'Put both VMs on a network of their own, and write `nics: [{ network: NAME, mac: MAC }]`.',
  );
  ipv4?.lost('a link has addresses of its own', 'Begin the command with `ip address add ADDRESS dev NIC`.');
}

function bridgedNic({ vm, mac, ipv4 }: LinkEnd, network: string, draft: Draft): void {
  const nic: DraftNic = { network };
  draft.vms.get(vm)?.nics?.push(nic);
  if (mac !== undefined) macOf(mac, { draft, vm, nic });
  if (ipv4 !== undefined) addressWithPrefixOf(ipv4, { draft, vm, nic });
}

function byInterface(a: LinkEnd, b: LinkEnd): number {
  return a.interface.localeCompare(b.interface, 'en', { numeric: true });
}
