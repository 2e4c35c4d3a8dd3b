import { SkerryError, type Acl, type AclRule, type Network } from '@skerry/api/base';
import type { Command } from '../grammar/index.ts';
import type { Column } from '../tables/index.ts';
import type { Context } from '../terminal/index.ts';
import { doTask } from './do-task.ts';
import { NETWORK, portRange, portText } from './network-text.ts';

const COLUMNS: ReadonlyArray<Column<AclRule>> = [
  { title: 'ID', of: ({ id }) => id?.toString() ?? '' },
  { title: 'ACTION', of: ({ action }) => action },
  { title: 'FROM', of: ({ from }) => from },
  { title: 'TO', of: ({ to }) => to },
  { title: 'PROTO', of: ({ protocol = 'any' }) => protocol },
  { title: 'PORT', of: ({ ports }) => portText(ports) },
  { title: 'NIC', of: ({ nic }) => nic, optional: true },
];

const END = 'any, a VM, an address or a range such as 10.0.0.0/24';

export const networkAclCommands: readonly Command[] = [
  {
    group: 'network acl',
    verb: 'add',
    positionals: [NETWORK],
    options: [
      { name: 'allow', summary: 'let it pass' },
      { name: 'deny', summary: 'drop it' },
      { name: 'from', value: 'WHO', summary: `${END}; default: any` },
      { name: 'to', value: 'WHO', completes: 'vm', summary: `${END}; default: any` },
      {
        name: 'proto',
        aliases: ['protocol'],
        value: 'PROTOCOL',
        choices: ['tcp', 'udp', 'icmp'],
        summary: 'default: all',
      },
      { name: 'port', value: 'PORT', summary: 'of the destination, or a range: 8000-8099' },
      { name: 'nic', value: 'VM:ethN', summary: 'only what comes from or goes to this NIC' },
    ],
    summary: 'Add a rule about what may pass, after those that there are',
    description: 'The first rule that fits a packet decides. Answers to what was let through pass.',
    examples: [
      'skerry network acl add dev --allow --from web --to db --proto tcp --port 5432',
      'skerry network acl add dev --deny --to 10.0.0.0/8',
      'skerry network acl add dev --deny --from any --to web --nic web:eth0',
    ],
    async run(context, args) {
      const network = args.required('network');
      const [allow, deny] = [args.flag('allow'), args.flag('deny')];
      if (allow === deny) {
        throw new SkerryError('invalid', 'A rule either allows or denies', { remedy: 'Write --allow or --deny.' });
      }
      const port = args.text('port');
      const nic = args.text('nic');
      const protocol = args.text('proto') as AclRule['protocol'];
      const body = {
        action: allow ? ('allow' as const) : ('deny' as const),
        from: args.text('from') ?? 'any',
        to: args.text('to') ?? 'any',
        ...(protocol === undefined ? {} : { protocol }),
        ...(port === undefined ? {} : { ports: portRange(port) }),
        ...(nic === undefined ? {} : { nic }),
      };
      await show(context, await doTask(context, network, 'network.acl.add', { params: { network }, body }));
    },
  },
  {
    group: 'network acl',
    verb: 'list',
    aliases: ['ls'],
    positionals: [NETWORK],
    summary: 'What may pass in a network',
    examples: ['skerry network acl list dev'],
    async run(context, args) {
      const client = await context.client();
      const params = { network: args.required('network') };
      await showAcl(context, await client.call('network.acl.get', { params }));
    },
  },
  {
    group: 'network acl',
    verb: 'remove',
    aliases: ['rm'],
    positionals: [NETWORK, { name: 'id', aliases: ['rule'], value: 'ID', summary: 'the number of the rule' }],
    summary: 'Take a rule away',
    examples: ['skerry network acl remove dev 1'],
    async run(context, args) {
      const network = args.required('network');
      const params = { network, rule: args.required('id') };
      await show(context, await doTask(context, network, 'network.acl.remove', { params }));
    },
  },
  {
    group: 'network acl',
    verb: 'default',
    positionals: [
      { ...NETWORK, optional: true, summary: 'its name; needed where there are several' },
      { name: 'action', value: 'allow|deny', choices: ['allow', 'deny'], summary: 'what becomes of it' },
    ],
    summary: 'What becomes of packets that no rule fits',
    examples: ['skerry network acl default dev deny'],
    async run(context, args) {
      const network = args.text('network') ?? (await onlyNetwork(context));
      const body = { default: args.required('action') as Acl['default'] };
      await show(context, await doTask(context, network, 'network.acl.default', { params: { network }, body }));
    },
  },
];

async function show(context: Context, changed: Network | undefined): Promise<void> {
  if (changed !== undefined) await showAcl(context, changed.spec.acl ?? { default: 'allow', rules: [] });
}

async function showAcl(context: Context, acl: Acl): Promise<void> {
  if (!context.out.isForPeople) return await context.out.data(acl);
  if (acl.rules.length > 0) await context.out.rows(acl.rules, COLUMNS);
  context.out.line(`default: ${acl.default}`);
}

async function onlyNetwork(context: Context): Promise<string> {
  const client = await context.client();
  const names = (await client.call('network.list')).map(({ name }) => name);
  const [only, ...others] = names;
  if (only !== undefined && others.length === 0) return only;
  throw new SkerryError('invalid', only === undefined ? 'There is no network' : `There are ${names.length} networks`, {
    remedy:
      only === undefined
        ? 'Make one: `skerry network create NAME`.'
        : `Name the one that is meant, such as \`skerry network acl default ${only} deny\`: there are ${names.join(', ')}.`,
  });
}
