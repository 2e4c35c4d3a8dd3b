import type { Lease, Network, NetworkCreateInput } from '@skerry/api/base';
import type { Args, Command, Option, Positional } from '../grammar/index.ts';
import { type Column, padEnd, printable } from '../tables/index.ts';
import type { Context } from '../terminal/index.ts';
import { doTask, forEach } from './do-task.ts';
import { addressRange, NETWORK } from './network-text.ts';

const MODES = ['nat', 'isolated', 'host-only', 'bridged', 'overlay'] as const;
/** What other programs call them. */
const MODE_WORDS: Readonly<Record<string, (typeof MODES)[number]>> = { internal: 'isolated', bridge: 'bridged' };

const NEW_NETWORK: Positional = { ...NETWORK, value: 'NAME', summary: 'a-z, 0-9 and -, at most 63 characters' };

const SUBNET: Option = {
  name: 'subnet',
  value: 'CIDR',
  summary: 'its addresses, such as 192.168.50.0/24; default: a /24 that is free',
};
const OPTIONS: readonly Option[] = [
  SUBNET,
  { name: 'dhcp-range', value: 'FIRST-LAST', summary: 'what DHCP gives to guests without our agent' },
  { name: 'dns-domain', value: 'DOMAIN', summary: 'its VMs answer to NAME and NAME.DOMAIN; default: its own name' },
  { name: 'ipv6', value: 'CIDR', summary: 'a /64 whose addresses its VMs get as well, such as fd00:50::/64' },
  {
    name: 'mtu',
    value: 'BYTES',
    summary:
      'of its NICs; default: 1500, of an overlay 1450 (1430 with peers of IPv6), of a bridged network that of its interface',
  },
  { name: 'title', value: 'TEXT', summary: 'any text, shown beside the name' },
];

const CONFIRMING: readonly Option[] = [
  {
    name: 'confirm',
    summary: 'of a bridged one: keep it without `network confirm` (--yes means this, too)',
  },
  {
    name: 'confirm-within',
    value: 'DURATION',
    summary: 'of a bridged one: it is taken back after this unless it is confirmed; default: 30s',
  },
];

const COLUMNS: ReadonlyArray<Column<Network>> = [
  { title: 'NAME', of: ({ name }) => name },
  { title: 'MODE', of: ({ spec }) => spec.mode },
  { title: 'SUBNET', of: ({ status }) => status.subnet },
  { title: 'GATEWAY', of: ({ status }) => status.gateway },
  { title: 'DATAPATH', of: ({ status }) => status.datapath },
  { title: 'DOMAIN', of: ({ spec }) => spec.domain, optional: true },
  { title: 'IPV6', of: ({ status }) => status.ipv6?.subnet, optional: true },
  { title: 'MESSAGE', of: ({ status }) => status.message, optional: true },
  { title: 'ID', of: ({ id }) => id, wide: true },
];

const LEASE_COLUMNS: ReadonlyArray<Column<Lease>> = [
  { title: 'ADDRESS', of: ({ address }) => address },
  { title: 'MAC', of: ({ mac }) => mac },
  { title: 'VM', of: ({ vm }) => vm },
  { title: 'NIC', of: ({ nic }) => nic },
  { title: 'KIND', of: ({ kind }) => kind },
  { title: 'EXPIRES', of: ({ expiresAt }) => expiresAt, optional: true },
];

const createCommand: Command = {
  group: 'network',
  verb: 'create',
  positionals: [NEW_NETWORK],
  options: [
    {
      name: 'mode',
      value: 'MODE',
      choices: [...MODES, ...Object.keys(MODE_WORDS)],
      summary: 'nat (default), isolated, host-only, bridged or overlay',
    },
    ...OPTIONS,
    { name: 'parent', value: 'INTERFACE', summary: 'of a bridged one: the interface of this host' },
    ...CONFIRMING,
    { name: 'vni', value: 'N', summary: 'of an overlay: its number on all hosts, 1 to 16777215' },
    { name: 'peer', value: 'ADDRESS', many: true, summary: 'of an overlay: another host' },
    {
      name: 'datapath',
      value: 'DATAPATH',
      choices: ['user', 'kernel'],
      summary: 'who carries its frames; default: what the mode needs',
    },
  ],
  summary: 'Make a network',
  description:
    'nat: reaches out through this host, and not into it. isolated: only its own VMs. host-only: this host and nothing beyond. bridged: on an interface of this host. overlay: with other hosts.',
  examples: [
    'skerry network create dev --mode nat --subnet 192.168.50.0/24',
    'skerry network create lab --mode isolated --dns-domain lab.test',
    'skerry network create lan --mode bridged --parent eno1 --dhcp-range 192.168.1.200-192.168.1.220',
    'skerry network create ovl --mode overlay --vni 100 --peer 192.0.2.7',
  ],
  async run(context, args) {
    const mode = args.text('mode') ?? 'nat';
    const vni = args.int('vni');
    const parent = args.text('parent');
    const peers = args.texts('peer');
    const datapath = args.text('datapath') as NetworkCreateInput['datapath'];
    await create(context, {
      ...bodyOf(args, MODE_WORDS[mode] ?? (mode as (typeof MODES)[number])),
      ...confirming(context, args),
      ...(parent === undefined ? {} : { parent }),
      ...(vni === undefined ? {} : { vni }),
      ...(peers.length === 0 ? {} : { peers: [...peers] }),
      ...(datapath === undefined ? {} : { datapath }),
    });
  },
};

export const networkCommands: readonly Command[] = [
  createCommand,
  {
    group: 'network',
    verb: 'create-nat',
    positionals: [NEW_NETWORK],
    options: OPTIONS,
    summary: 'Make a network that reaches out through this host',
    examples: ['skerry network create-nat dev --subnet 192.168.50.0/24'],
    run: (context, args) => create(context, bodyOf(args, 'nat')),
  },
  {
    group: 'network',
    verb: 'create-bridge',
    positionals: [
      NEW_NETWORK,
      { name: 'parent', value: 'INTERFACE', summary: 'the interface of this host that it is on' },
    ],
    options: [...OPTIONS, ...CONFIRMING],
    summary: 'Make a network on an interface of this host',
    description:
      'The interface becomes a port of a bridge, which gets its addresses and routes. That is taken back by itself after 30 s unless `network confirm` says that this host can still be reached.',
    examples: ['skerry network create-bridge lan eno1 --dhcp-range 192.168.1.200-192.168.1.220'],
    run: (context, args) =>
      create(context, { ...bodyOf(args, 'bridged'), ...confirming(context, args), parent: args.required('parent') }),
  },
  {
    group: 'network',
    verb: 'confirm',
    positionals: [NETWORK],
    summary: 'Keep a bridged network: this host can still be reached',
    examples: ['skerry network confirm lan'],
    async run(context, args) {
      const client = await context.client();
      const network = await client.call('network.confirm', { params: { network: args.required('network') } });
      await context.out.result(network, () => [`${network.name}: stays`]);
    },
  },
  {
    group: 'network',
    verb: 'create-isolated',
    positionals: [NEW_NETWORK],
    options: OPTIONS,
    summary: 'Make a network that leads nowhere',
    examples: ['skerry network create-isolated lab'],
    run: (context, args) => create(context, bodyOf(args, 'isolated')),
  },
  {
    group: 'network',
    verb: 'list',
    aliases: ['ls', 'list-networks'],
    summary: 'All networks',
    examples: ['skerry network list'],
    async run(context) {
      const client = await context.client();
      await context.out.rows(await client.call('network.list'), COLUMNS);
    },
  },
  {
    group: 'network',
    verb: 'show',
    aliases: ['info'],
    positionals: [NETWORK],
    summary: 'One network, and the VMs that are on it',
    examples: ['skerry network show dev'],
    async run(context, args) {
      const client = await context.client();
      const params = { network: args.required('network') };
      const network = await client.call('network.get', { params });
      const leases = context.out.isForPeople ? await client.call('network.leases', { params }) : [];
      await context.out.result(network, () => [...describe(network), ...vmLines(leases)]);
    },
  },
  {
    group: 'network',
    verb: 'leases',
    positionals: [NETWORK],
    summary: 'Its addresses that somebody has, and who',
    examples: ['skerry network leases dev'],
    async run(context, args) {
      const client = await context.client();
      const leases = await client.call('network.leases', { params: { network: args.required('network') } });
      await context.out.rows(leases, LEASE_COLUMNS);
    },
  },
  {
    group: 'network',
    verb: 'ruleset',
    aliases: ['rules'],
    positionals: [NETWORK],
    summary: 'What it enforces: addresses, rules, way out, forwards',
    examples: ['skerry network ruleset dev'],
    async run(context, args) {
      const client = await context.client();
      const rules = await client.call('network.ruleset', { params: { network: args.required('network') } });
      await context.out.result(rules, () => rules.text.split('\n').slice(0, -1).map(printable));
    },
  },
  {
    group: 'network',
    verb: 'delete',
    aliases: ['delete-network', 'rm'],
    positionals: [{ ...NETWORK, many: true }],
    summary: 'Delete networks that no VM is on',
    examples: ['skerry network delete dev'],
    async run(context, args) {
      const { results, exitCode } = await forEach(context, args.texts('network'), async (name) => {
        const done = await doTask(context, name, 'network.delete', { params: { network: name } });
        return done === undefined ? undefined : name;
      });
      const deleted = results.filter((name) => name !== undefined);
      if (context.out.isForPeople) for (const name of deleted) context.out.line(`${name}: deleted`);
      else if (deleted.length > 0) await context.out.data(deleted.map((name) => ({ name, deleted: true })));
      return exitCode;
    },
  },
];

function bodyOf(args: Args, mode: (typeof MODES)[number]): NetworkCreateInput {
  const name = args.required('network');
  const [subnet, range, domain, ipv6, title] = ['subnet', 'dhcp-range', 'dns-domain', 'ipv6', 'title'].map((each) =>
    args.text(each),
  );
  const mtu = args.int('mtu');
  return {
    name,
    mode,
    ...(subnet === undefined ? {} : { subnet }),
    ...(domain === undefined ? {} : { domain }),
    ...(range === undefined ? {} : { dhcpRange: addressRange(range, '--dhcp-range') }),
    ...(ipv6 === undefined ? {} : { ipv6 }),
    ...(mtu === undefined ? {} : { mtu }),
    ...(title === undefined ? {} : { title }),
  };
}

function confirming({ yes }: Context, args: Args): Pick<NetworkCreateInput, 'confirm' | 'confirmWithinMs'> {
  const mayStay = yes || args.flag('confirm');
  const within = args.durationMs('confirm-within');
  return {
    ...(mayStay ? { confirm: true } : {}),
    ...(within === undefined ? {} : { confirmWithinMs: within }),
  };
}

async function create(context: Context, body: NetworkCreateInput): Promise<void> {
  const network = await doTask(context, body.name, 'network.create', { body });
  if (network === undefined) return;
  const { subnet, ipv6 } = network.status;
  await context.out.result(network, () => [
    [`${network.name}: ${network.spec.mode}`, subnet, ...(ipv6 === undefined ? [] : [ipv6.subnet])].join(', '),
  ]);
  const { uplink } = network.status;
  if (context.out.isForPeople && uplink?.confirmed === false) {
    context.out.note(
      `It is taken back at ${uplink.rollbackAt} unless you type: skerry network confirm ${network.name}`,
    );
    return;
  }
  if (context.out.isForPeople) context.out.note(`Put a VM on it: skerry create NAME --network ${network.name} --start`);
}

function describe({ name, title, spec, status, labels }: Network): string[] {
  const lines: ReadonlyArray<readonly [string, string | undefined]> = [
    ['name', name],
    ['title', title],
    ['mode', spec.mode],
    ['subnet', status.subnet],
    ['gateway', status.gateway === '' ? undefined : status.gateway],
    ['ipv6', status.ipv6?.subnet],
    ['dhcp range', spec.dhcpRange && `${spec.dhcpRange.from}-${spec.dhcpRange.to}`],
    ['domain', spec.domain],
    ['mtu', spec.mtu?.toString()],
    ['parent', spec.parent],
    ['bridge', status.uplink && `${status.uplink.bridge}${status.uplink.confirmed ? '' : ', not confirmed'}`],
    ['vni', spec.vni?.toString()],
    ['peers', spec.peers?.join(', ')],
    ['datapath', status.datapath],
    [
      'labels',
      Object.entries(labels)
        .map(([key, value]) => `${key}=${value}`)
        .join(', ') || undefined,
    ],
    ['message', status.message],
  ];
  return lines.flatMap(([key, value]) => (value === undefined ? [] : [`${padEnd(`${key}:`, 12)}${printable(value)}`]));
}

function vmLines(leases: readonly Lease[]): string[] {
  const vms = leases.map(({ vm, nic, address }) => `  ${vm ?? 'a guest we do not know'} ${nic ?? ''} ${address}`);
  return vms.length === 0 ? ['vms:        none'] : ['vms:', ...vms];
}
