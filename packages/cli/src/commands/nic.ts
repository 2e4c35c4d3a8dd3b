import { formatRate, parseRateKbit, SkerryError, type NicAddInput, type NicInfo, type NicSet } from '@skerry/api/base';
import type { Args, Command, Option } from '../grammar/index.ts';
import type { Column } from '../tables/index.ts';
import type { Context } from '../terminal/index.ts';
import { doTask } from './do-task.ts';
import { VM } from './vm-parameters.ts';

const COLUMNS: ReadonlyArray<Column<NicInfo>> = [
  { title: 'NIC', of: ({ name }) => name },
  { title: 'NETWORK', of: ({ network }) => network },
  { title: 'ADDRESS', of: ({ address }) => address },
  { title: 'MAC', of: ({ mac }) => mac },
  { title: 'LINK', of: ({ link }) => link },
  { title: 'VLAN', of: ({ vlan, trunk }) => vlan ?? trunk?.map(rangeText).join(','), optional: true },
  { title: 'LIMIT', of: ({ rateKbit }) => (rateKbit === undefined ? undefined : formatRate(rateKbit)), optional: true },
];

const NIC = { name: 'nic', value: 'NIC', optional: true, summary: 'such as eth1; or say --network' } as const;

/** What a NIC can be given when it is added, and later. */
const NIC_OPTIONS: readonly Option[] = [
  { name: 'vlan', value: 'N', summary: 'the VLAN it is in: 1 to 4094' },
  { name: 'trunk', value: 'A-B,...', summary: 'the VLANs whose tags it sends and gets, such as 10-20,30' },
  { name: 'mac', value: 'MAC', summary: 'its address in frames; default: one that is made for it' },
  { name: 'ip', aliases: ['address'], value: 'ADDRESS', summary: "its address; default: the network's next free one" },
  { name: 'limit', value: 'RATE', summary: 'what passes in each direction, such as 50mbit' },
  { name: 'link', value: 'STATE', choices: ['up', 'down'], summary: 'its cable, as the guest sees it; default: up' },
];

export const nicCommands: readonly Command[] = [
  {
    group: 'nic',
    verb: 'add',
    aliases: ['hotplug'],
    positionals: [VM],
    options: [{ name: 'network', value: 'NAME', summary: 'the network it is on; default: default' }, ...NIC_OPTIONS],
    summary: 'Give a VM a NIC; one that runs has it at once',
    examples: ['skerry nic add web-vm --network lab', 'skerry nic add web-vm --network lab --vlan 10 --limit 50mbit'],
    async run(context, args) {
      const name = args.required('vm');
      const given = Object.entries(optionsOf(args)).filter(([, value]) => value !== null);
      const body = { network: args.text('network') ?? 'default', ...Object.fromEntries(given) } as NicAddInput;
      await show(context, name, await doTask(context, name, 'vm.nic.add', { params: { vm: name }, body }));
    },
  },
  {
    group: 'nic',
    verb: 'set',
    positionals: [VM, NIC],
    options: [
      { name: 'network', value: 'NAME', summary: 'instead of NIC: the one on this network' },
      ...NIC_OPTIONS.map((option) =>
        ['vlan', 'trunk', 'limit'].includes(option.name)
          ? { ...option, summary: `${option.summary}; none: no longer` }
          : option,
      ),
    ],
    summary: 'Change a NIC of a VM; what is left out stays',
    examples: ['skerry nic set web-vm eth0 --link down', 'skerry nic set web-vm --network lab --limit 10mbit'],
    async run(context, args) {
      const name = args.required('vm');
      const body: NicSet = optionsOf(args);
      if (Object.keys(body).length === 0) {
        throw new SkerryError('invalid', 'Nothing to change was given', {
          remedy: 'Give one of --link, --ip, --mac, --vlan, --trunk and --limit.',
        });
      }
      const nic = await chosen(context, args);
      await show(context, name, await doTask(context, name, 'vm.nic.set', { params: { vm: name, nic }, body }));
    },
  },
  {
    group: 'nic',
    verb: 'remove',
    aliases: ['rm', 'unplug'],
    positionals: [VM, NIC],
    options: [{ name: 'network', value: 'NAME', summary: 'instead of NIC: the one on this network' }],
    summary: 'Take a NIC from a VM; one that runs loses it at once',
    examples: ['skerry nic remove web-vm eth1', 'skerry nic remove web-vm --network lab'],
    async run(context, args) {
      const name = args.required('vm');
      const nic = await chosen(context, args);
      const left = await doTask(context, name, 'vm.nic.remove', { params: { vm: name, nic } });
      if (left !== undefined) await context.out.rows(left, COLUMNS);
    },
  },
  {
    group: 'nic',
    verb: 'list',
    aliases: ['ls'],
    positionals: [VM],
    summary: 'The NICs of a VM',
    examples: ['skerry nic list web-vm'],
    async run(context, args) {
      const client = await context.client();
      await context.out.rows(await client.call('vm.nic.list', { params: { vm: args.required('vm') } }), COLUMNS);
    },
  },
];

async function show(context: Context, vm: string, nic: NicInfo | undefined): Promise<void> {
  if (nic === undefined) return;
  const cable = nic.link === 'down' ? ', its cable is out' : '';
  await context.out.result(nic, () => [`${vm} ${nic.name}: ${nic.address} on ${nic.network} (${nic.mac})${cable}`]);
}

/** @throws SkerryError `not-found`, `invalid` (two are on that network) */
async function chosen(context: Context, args: Args): Promise<string> {
  const [vm, nic, network] = [args.required('vm'), args.text('nic'), args.text('network')];
  if (nic !== undefined && network === undefined) return nic;
  if (nic !== undefined || network === undefined) {
    throw new SkerryError('invalid', 'Which NIC?', {
      remedy: `Name it (\`skerry nic list ${vm}\` shows all), or give --network; not both.`,
    });
  }
  const client = await context.client();
  const nics = await client.call('vm.nic.list', { params: { vm } });
  const found = nics.filter((each) => each.network === network);
  const [first] = found;
  if (first !== undefined && found.length === 1) return first.name;
  const names = (first === undefined ? nics : found).map((each) => each.name).join(', ');
  throw new SkerryError(
    first === undefined ? 'not-found' : 'invalid',
    `${vm} has ${first === undefined ? 'no NIC' : `${found.length} NICs`} on the network '${network}'`,
    { remedy: names === '' ? 'It has no NIC at all.' : `Name one of ${names}.` },
  );
}

/** @throws SkerryError `invalid` */
function optionsOf(args: Args): NicSet {
  const [vlan, trunk, limit] = [args.text('vlan'), args.text('trunk'), args.text('limit')];
  const [mac, address, link] = [args.text('mac'), args.text('ip'), args.text('link')];
  return {
    ...(vlan === undefined ? {} : { vlan: vlan === 'none' ? null : numberOf('vlan', vlan) }),
    ...(trunk === undefined ? {} : { trunk: trunk === 'none' ? null : trunk.split(',').map(rangeOf) }),
    ...(mac === undefined ? {} : { mac: mac.toLowerCase() }),
    ...(address === undefined ? {} : { address }),
    ...(limit === undefined ? {} : { rateKbit: limit === 'none' ? null : parseRateKbit(limit) }),
    ...(link === undefined ? {} : { link: link as 'up' | 'down' }),
  };
}

/** '10-20' or '30' */
function rangeOf(text: string): { from: number; to: number } {
  const [from = '', to = from] = text.split('-');
  return { from: numberOf('trunk', from), to: numberOf('trunk', to) };
}

function rangeText({ from, to }: { readonly from: number; readonly to: number }): string {
  return from === to ? String(from) : `${from}-${to}`;
}

function numberOf(option: string, text: string): number {
  if (/^\d{1,5}$/.test(text)) return Number(text);
  throw new SkerryError('invalid', `--${option}: '${text}' is no VLAN`, {
    remedy: `Write numbers from 1 to 4094${option === 'trunk' ? ', such as 10-20,30' : ''}.`,
  });
}
