import { type Draft, type DraftVm, type ImportFacts, type Names } from './draft.ts';
import { type Entry, lost, type Table, tableOf, translateKey, unneeded } from './entry.ts';
import { cpusOf, memoryOf, restartOf } from './figures.ts';
import { healthOf } from './health.ts';
import { imageOf } from './images.ts';
import { bindOf, parseMount } from './mounts.ts';
import { giveAddress } from './nics.ts';
import { portsOf } from './ports.ts';
import { environmentOf, labelsOf, wordsOf } from './texts.ts';
import { quoteWords } from './words.ts';

/** Pure: a node of a containerlab topology becomes a VM, or a network where it is a bridge. */

export interface LabContext {
  readonly draft: Draft;
  readonly facts: ImportFacts;
  /** The network of every VM's eth0. */
  readonly mgmt: string;
  readonly topology: Entry;
  readonly names: Names;
  /** Paths of what nodes were given by defaults, kinds and groups. */
  readonly taken: Set<string>;
  /** Node that is a bridge -> its network. */
  readonly bridges: Map<string, string>;
  readonly links: LabLink[];
}

/** A wire between two VMs, or one VM's NIC on the network that a bridge became. */
export interface LabLink {
  readonly ends: readonly LinkEnd[];
  readonly network: string | undefined;
}

export interface LinkEnd {
  readonly entry: Entry;
  /** VM in the draft. */
  readonly vm: string;
  readonly interface: string;
  readonly mac?: Entry | undefined;
  /** With the prefix's length. */
  readonly ipv4?: Entry | undefined;
}

interface LabNode {
  readonly context: LabContext;
  readonly name: string;
  readonly vm: DraftVm;
  readonly exec: string[];
  readonly env: Entry[];
  readonly labels: Entry[];
  entrypoint?: string[];
  cmd?: string[];
}

const BRIDGES = new Set(['bridge', 'ovs-bridge']);
/** Of these the nearest definition does not replace the others, but adds to them (containerlab's topology inheritance). */
const MERGED = new Set(['env', 'labels', 'binds', 'exec', 'env-files', 'sysctls']);
/** Of containerlab's management network, where the topology says none (its manual, "Network wiring"). */
const MGMT_SUBNET = '172.20.20.0/24';
const NOT_THE_NOS = 'it is about a network operating system, which the VM is not';

const NODE: Table<LabNode> = tableOf<LabNode>({
  kind: (entry) => {
    const kind = entry.text();
    if (kind === 'linux' || kind === undefined) return;
    entry.lost(
      `a system of kind ${kind} does not run here: the VM starts from micro`,
      'For routing, write a recipe with `packages: [frr]`, as examples/router does.',
    );
  },
  image: (entry, { context, name }) => imageOf(entry, context.draft, name),
  group: (entry, { context }) => {
    const group = entry.text();
    if (group !== undefined && context.topology.entry('groups')?.entry(group) === undefined)
      entry.unneeded('it is about a picture of the lab');
  },
  env: (entry, { env }) => void env.push(entry),
  labels: (entry, { labels }) => void labels.push(entry),
  ports: (entry, { context, name }) => portsOf(entry, context.draft, name),
  binds: bindsOf,
  exec: (entry, { exec }) => {
    for (const item of entry.items()) {
      const words = wordsOf(item);
      if (words !== undefined && words.length > 0) exec.push(quoteWords(words));
    }
  },
  cmd: (entry, node) => {
    const words = wordsOf(entry);
    if (words !== undefined) node.cmd = words;
  },
  entrypoint: (entry, node) => {
    const words = wordsOf(entry);
    if (words !== undefined) node.entrypoint = words;
  },
  cpu: (entry, { vm }) => cpusOf(entry, vm),
  memory: (entry, { vm }) => memoryOf(entry, vm),
  'restart-policy': (entry, { vm }) => restartOf(entry, vm),
  healthcheck: (entry, { vm }) => healthOf(entry, vm),
  'mgmt-ipv4': (entry, { context: { draft }, name, vm }) => {
    const [address, nic] = [entry.text(), vm.nics?.[0]];
    if (address !== undefined && nic !== undefined) giveAddress(entry, { draft, vm: name, nic }, address, MGMT_SUBNET);
  },
  'mgmt-ipv6': lost('no IPv6 is taken over', 'Write `ipv6: fd00:50::/64` for the network.'),
  'network-mode': lost("a VM's eth0 is on a network of its node"),
  'startup-config': lost(NOT_THE_NOS, 'Give a file of its own to the VM: `files: [{ path: /etc/..., source: ... }]`.'),
  'enforce-startup-config': lost(NOT_THE_NOS),
  'suppress-startup-config': lost(NOT_THE_NOS),
  type: lost(NOT_THE_NOS),
  license: lost(NOT_THE_NOS),
  config: lost(NOT_THE_NOS),
  extras: lost(NOT_THE_NOS),
  certificate: lost(NOT_THE_NOS),
  SANs: lost(NOT_THE_NOS),
  sandbox: lost(NOT_THE_NOS),
  kernel: lost(NOT_THE_NOS),
  components: lost(NOT_THE_NOS),
  position: unneeded('it is about a picture of the lab'),
  publish: lost('nothing is published beyond this host'),
  runtime: lost('it is about where a container engine runs it'),
  'cpu-set': lost('a VM is not bound to certain CPUs of the host'),
  'env-files': lost('files of variables are not read', 'Write the variables under `env`.'),
  user: lost('the command runs as root'),
  'startup-delay': lost('a VM starts when what it depends on has started', 'Write `dependsOn`.'),
  stages: lost('a VM starts when what it depends on has started', 'Write `dependsOn`.'),
  'wait-for': lost('a VM starts when what it depends on has started', 'Write `dependsOn`.'),
  'auto-remove': lost('a VM of a node stays until the node is deleted'),
  'image-pull-policy': unneeded('images are built, not pulled'),
  sysctls: lost('settings of the kernel are not made', 'Begin the command with `sysctl -w NAME=VALUE`.'),
  dns: lost('a VM asks the gateway of its network for names', 'Add /etc/resolv.conf under `files`.'),
  devices: lost('devices of the host are not given to VMs'),
  'cap-add': unneeded('a VM has a kernel of its own: root in it has all rights there, and none on the host'),
  'shm-size': lost('/dev/shm has half of the memory'),
  aliases: lost('a VM has one name on its networks'),
});

interface Definition {
  readonly kind: string;
  readonly keys: readonly Entry[];
}

/** Definitions from the farthest to the node itself; each key from the nearest one, but for those that add up. */
function definitionOf(node: Entry, { topology }: LabContext): Definition {
  const defaults = topology.entry('defaults');
  const text = (key: string, levels: ReadonlyArray<Entry | undefined>): string | undefined => {
    const values = levels.map((level) => level?.entry(key)?.value);
    return values.findLast((value) => typeof value === 'string' && value !== '') as string | undefined;
  };
  const kind = text('kind', [defaults, node]) ?? '';
  const ofKind = topology.entry('kinds')?.entry(kind);
  const group = text('group', [defaults, ofKind, node]);
  const ofGroup = group === undefined ? undefined : topology.entry('groups')?.entry(group);
  const keys = new Map<string, Entry[]>();
  for (const level of [defaults, ofKind, ofGroup, node]) {
    if (level === undefined || level.isEmpty) continue;
    for (const entry of level.entries()) {
      const others = MERGED.has(entry.key) ? (keys.get(entry.key) ?? []) : [];
      keys.set(entry.key, [...others, entry]);
    }
  }
  return { kind, keys: [...keys.values()].flat() };
}

export function nodeOf(node: Entry, context: LabContext): void {
  const { kind, keys } = definitionOf(node, context);
  if (kind === 'host') {
    node.lost('the host itself is no VM, and is on none of its networks');
    return;
  }
  for (const entry of keys) context.taken.add(entry.path.join('.'));
  const name = context.names.give(node);
  if (BRIDGES.has(kind)) bridgeOf(node, name, { kind, keys }, context);
  else vmOf(name, keys, context);
}

function bridgeOf(node: Entry, name: string, { kind, keys }: Definition, { draft, bridges }: LabContext): void {
  const network = draft.networks.has(name) ? `${name}-bridge` : name;
  bridges.set(node.key, network);
  draft.networks.set(network, { egress: false });
  node.changed(
    `the bridge is the network ${network}, which its VMs are on; as routers, so that they may have any address`,
  );
  for (const entry of keys) {
    if (entry.key !== 'kind' || entry.value !== kind) entry.lost('a network has none of it');
  }
}

function vmOf(name: string, keys: readonly Entry[], context: LabContext): void {
  const vm: DraftVm = { image: 'micro', nics: [{ network: context.mgmt }] };
  context.draft.vms.set(name, vm);
  const node: LabNode = { context, name, vm, exec: [], env: [], labels: [] };
  for (const entry of keys) translateKey(entry, NODE, node);
  environmentOf(node.env, vm);
  labelsOf(node.labels, vm);
  const argv = [...(node.entrypoint ?? []), ...(node.cmd ?? [])];
  if (node.exec.length > 0) {
    // A command that ends would end the VM.
    const last = argv.length > 0 ? quoteWords(argv) : 'tail -f /dev/null';
    vm.command = [...node.exec, `exec ${last}`].join('\n');
  } else if (argv.length > 0) vm.command = argv;
}

function bindsOf(entry: Entry, { context, vm }: LabNode): void {
  for (const item of entry.items()) {
    const text = item.text();
    if (text === undefined) continue;
    const mount = parseMount(text);
    if (mount?.source === undefined) {
      item.lost(`'${text}' is no bind that can be read`);
      continue;
    }
    const others = mount.modes.filter((mode) => !['ro', 'rw', 'z', 'Z'].includes(mode));
    if (others.length > 0) item.lost(`${others.join(', ')}: a share is rw or ro`);
    if (/__\w+__/.test(mount.source)) item.lost(`${mount.source}: directories of containerlab are not there`);
    else
      bindOf(
        item,
        { host: mount.source, guest: mount.target, readonly: mount.modes.includes('ro') },
        vm,
        context.facts,
      );
  }
}
