import type { NetworkForward } from '@skerry/api/base';
import type { Command, Option } from '../grammar/index.ts';
import type { Column } from '../tables/index.ts';
import { doTask } from './do-task.ts';
import { guestEnd, hostEnd, NETWORK } from './network-text.ts';

const PROTOCOL: Option = {
  name: 'proto',
  aliases: ['protocol'],
  value: 'PROTOCOL',
  choices: ['tcp', 'udp'],
  summary: 'tcp (default) or udp',
};
/** Another daemon is named before these words, or by SKERRY_HOST. */
const HOST: Option = {
  name: 'host-port',
  aliases: ['host'],
  value: '[ADDRESS:]PORT',
  summary: 'where this host listens; default address: 127.0.0.1',
};

const COLUMNS: ReadonlyArray<Column<NetworkForward>> = [
  { title: 'HOST', of: ({ hostAddress, hostPort }) => `${hostAddress}:${hostPort}` },
  { title: 'PROTO', of: ({ protocol }) => protocol },
  { title: 'TO', of: ({ vm, guestPort }) => `${vm}:${guestPort}` },
];

export const networkForwardCommands: readonly Command[] = [
  {
    group: 'network forward',
    verb: 'add',
    positionals: [NETWORK, { ...HOST, value: 'PORT' }, { name: 'to', value: 'VM:PORT', summary: 'where it leads' }],
    options: [PROTOCOL],
    summary: 'Let a port of this host lead to a VM of the network',
    description:
      'It is open while the VM runs. TCP goes in through the agent of the VM, so no rule of the network is in its way.',
    examples: [
      'skerry network forward add dev --host 8080 --to web:80',
      'skerry network forward add dev --host 0.0.0.0:5353 --to dns:53 --proto udp',
    ],
    async run(context, args) {
      const network = args.required('network');
      const body = {
        ...hostEnd(args.required('host-port')),
        ...guestEnd(args.required('to')),
        protocol: (args.text('proto') ?? 'tcp') as NetworkForward['protocol'],
      };
      const changed = await doTask(context, network, 'network.forward.add', { params: { network }, body });
      if (changed !== undefined) await context.out.rows(changed.spec.forwards ?? [], COLUMNS);
    },
  },
  {
    group: 'network forward',
    verb: 'list',
    aliases: ['ls'],
    positionals: [NETWORK],
    summary: 'Ports of this host that lead into a network',
    examples: ['skerry network forward list dev'],
    async run(context, args) {
      const client = await context.client();
      const params = { network: args.required('network') };
      await context.out.rows(await client.call('network.forward.list', { params }), COLUMNS);
    },
  },
  {
    group: 'network forward',
    verb: 'remove',
    aliases: ['rm'],
    positionals: [NETWORK, { ...HOST, value: 'PORT' }],
    options: [PROTOCOL],
    summary: 'Close such a port; its connections end',
    examples: ['skerry network forward remove dev --host 8080'],
    async run(context, args) {
      const network = args.required('network');
      const { hostPort, hostAddress } = hostEnd(args.required('host-port'));
      const query = {
        hostPort,
        ...(hostAddress === undefined ? {} : { hostAddress }),
        protocol: args.text('proto') ?? 'tcp',
      };
      const changed = await doTask(context, network, 'network.forward.remove', { params: { network }, query });
      if (changed !== undefined) await context.out.rows(changed.spec.forwards ?? [], COLUMNS);
    },
  },
];
