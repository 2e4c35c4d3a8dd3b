import { SkerryError, type Route } from '@skerry/api/base';
import type { Command, Positional } from '../grammar/index.ts';
import type { Column } from '../tables/index.ts';
import type { Context } from '../terminal/index.ts';
import { doTask } from './do-task.ts';

const OWNER: Positional = {
  name: 'owner',
  value: 'NETWORK|VM',
  summary: 'whose it is: all VMs of a network, or one VM',
};
const TO: Positional = {
  name: 'destination',
  value: 'RANGE',
  summary: 'where it leads, such as 10.0.0.0/8; 0.0.0.0/0 is everywhere',
};

const COLUMNS: ReadonlyArray<Column<Route>> = [
  { title: 'TO', of: ({ to }) => to },
  { title: 'VIA', of: ({ via }) => via },
];

export const networkRouteCommands: readonly Command[] = [
  {
    group: 'network route',
    verb: 'add',
    positionals: [OWNER, TO],
    options: [
      {
        name: 'via',
        value: 'ADDRESS|VM',
        completes: 'vm',
        summary: 'who passes it on; default: the router on that network',
      },
    ],
    summary: 'Tell VMs a way to other networks, from their next start',
    examples: [
      'skerry network route add dev 10.0.0.0/8',
      'skerry network route add dev 10.9.0.0/24 --via 192.168.50.7',
      'skerry network route add web 0.0.0.0/0 --via router',
    ],
    async run(context, args) {
      const name = args.required('owner');
      const via = args.text('via');
      const body = { to: args.required('destination'), ...(via === undefined ? {} : { via }) };
      if ((await kindOf(context, name)) === 'network') {
        const changed = await doTask(context, name, 'network.route.add', { params: { network: name }, body });
        if (changed === undefined) return;
        await context.out.rows(changed.spec.routes ?? [], COLUMNS);
      } else {
        const client = await context.client();
        const { vm } = await client.call('vm.route.add', { params: { vm: name }, body });
        await context.out.rows(vm.spec.routes ?? [], COLUMNS);
      }
      if (context.out.isForPeople) context.out.note('VMs that run know it from their next start: skerry restart VM');
    },
  },
  {
    group: 'network route',
    verb: 'list',
    aliases: ['ls'],
    positionals: [OWNER],
    summary: 'Routes of a network or of a VM',
    examples: ['skerry network route list dev'],
    async run(context, args) {
      const client = await context.client();
      const name = args.required('owner');
      const routes =
        (await kindOf(context, name)) === 'network'
          ? await client.call('network.route.list', { params: { network: name } })
          : await client.call('vm.route.list', { params: { vm: name } });
      await context.out.rows(routes, COLUMNS);
    },
  },
  {
    group: 'network route',
    verb: 'remove',
    aliases: ['rm'],
    positionals: [OWNER, TO],
    summary: 'Tell VMs such a way no longer, from their next start',
    examples: ['skerry network route remove dev 10.0.0.0/8'],
    async run(context, args) {
      const name = args.required('owner');
      const query = { to: args.required('destination') };
      if ((await kindOf(context, name)) === 'network') {
        const changed = await doTask(context, name, 'network.route.remove', { params: { network: name }, query });
        if (changed !== undefined) await context.out.rows(changed.spec.routes ?? [], COLUMNS);
        return;
      }
      const client = await context.client();
      const { vm } = await client.call('vm.route.remove', { params: { vm: name }, query });
      await context.out.rows(vm.spec.routes ?? [], COLUMNS);
    },
  },
];

/** @throws SkerryError `not-found`, `invalid`: a network and a VM are called so */
async function kindOf(context: Context, name: string): Promise<'network' | 'vm'> {
  const client = await context.client();
  const there = async (call: Promise<unknown>): Promise<boolean> => {
    try {
      await call;
      return true;
    } catch (error) {
      if (SkerryError.from(error).code === 'not-found') return false;
      throw error;
    }
  };
  const [network, vm] = await Promise.all([
    there(client.call('network.get', { params: { network: name } })),
    there(client.call('vm.get', { params: { vm: name } })),
  ]);
  if (network !== vm) return network ? 'network' : 'vm';
  if (!network) {
    throw new SkerryError('not-found', `There is no network and no VM '${name}'`, {
      remedy: 'See `skerry network list` and `skerry list`.',
    });
  }
  throw new SkerryError('invalid', `A network and a vm are called '${name}'`, {
    remedy: 'Give the id of the one that is meant: `skerry list -o wide`, `skerry network list -o wide`.',
  });
}
