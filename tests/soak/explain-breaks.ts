import type { ExplainCause } from '@skerry/api';
import { PORT, type ExplainWorld, type Way } from './explain-world.ts';

/** One thing that goes wrong between two real VMs, what `explain` is to say of it, and how all is as it was again. */

export interface Broken {
  readonly kind: ExplainCause['kind'];
  readonly at: string;
  /** Also right after somebody has mended it, as far as he has come. */
  readonly undo: () => Promise<unknown>;
}

type Break = (world: ExplainWorld, way: Way, pick: (below: number) => number) => Promise<Broken>;

/** Long enough for a round. */
const LEASE = '10m';

interface NicOnWay {
  readonly vm: string;
  readonly index: number;
  /** a:eth0 */
  readonly name: string;
}

/** By which the packet leaves a VM, or comes to one. */
function anyNic({ vms, out, into }: Way, pick: (below: number) => number): NicOnWay {
  const hop = pick(out.length);
  return pick(2) === 0 ? nicOn(vms[hop]!, out[hop]!) : nicOn(vms[hop + 1]!, into[hop]!);
}

function nicOn(vm: string, index: number): NicOnWay {
  return { vm, index, name: `${vm}:eth${index}` };
}

const target = ({ vms }: Way): string => vms.at(-1)!;
const ip = ({ ipv6 }: Way): string => (ipv6 ? 'ip -6' : 'ip');

/** Its addresses, routes and server as they were when it started; also of a VM that has been started anew. */
async function started(world: ExplainWorld, vm: string): Promise<void> {
  await world.said(`restart ${vm}`);
}

/** `crash-1: ...` */
const faultIn = (said: string): string => /^[^:\s]+/.exec(said)?.[0] ?? '';

export const BREAKS: Readonly<Record<string, Break>> = {
  'a VM is not running': async (world, { vms }, pick) => {
    const vm = vms[pick(vms.length)]!;
    const [how, back] = (
      [
        ['stop', 'start'],
        ['kill --yes', 'start'],
        ['pause', 'resume'],
        ['suspend', 'start'],
      ] as const
    )[pick(4)]!;
    await world.said(`${how} ${vm}`);
    return {
      kind: 'vm',
      at: vm,
      undo: () => world.said(`${back} ${vm}`).catch((error: unknown) => process.stderr.write(`${String(error)}\n`)),
    };
  },
  'a VM is frozen': async (world, { vms }, pick) => {
    const name = faultIn(await world.said(`fault vm ${vms[pick(vms.length)]!} freeze --for ${LEASE}`));
    return { kind: 'fault', at: name, undo: () => world.said('fault clear --all') };
  },
  'a link is down': async (world, way, pick) => {
    const { vm, index, name } = anyNic(way, pick);
    await world.said(`nic set ${vm} eth${index} --link down`);
    return {
      kind: 'nic',
      at: name,
      undo: async () => {
        await world.said(`nic set ${vm} eth${index} --link up`);
        await started(world, vm);
      },
    };
  },
  'a cable is out': async (world, way, pick) => {
    const { vm, name } = anyNic(way, pick);
    const at = faultIn(await world.said(`link impair ${name} --down --for ${LEASE}`));
    return {
      kind: 'fault',
      at,
      undo: async () => {
        await world.said('fault clear --all');
        await started(world, vm);
      },
    };
  },
  'all is lost in one direction': async (world, way, pick) => {
    // That needs netem, which not every kernel has; a cable does not.
    if (world.datapath === 'kernel') return BREAKS['a cable is out']!(world, way, pick);
    const { name } = anyNic(way, pick);
    const dir = pick(2) === 0 ? 'a2b' : 'b2a';
    const at = faultIn(await world.said(`link impair ${name} --loss 100% --dir ${dir} --for ${LEASE}`));
    return { kind: 'fault', at, undo: () => world.said('fault clear --all') };
  },
  'a rule': async (world, way, pick) => {
    const { vm, index } = anyNic(way, pick);
    const network = world.networkOf(vm, index);
    const to = await world.targetOf(way);
    await world.said(`network acl add ${network} --deny --from any --to ${to} --proto tcp --port ${PORT}`);
    return {
      kind: 'acl',
      at: `${network}/${(await rulesOf(world, network)).at(-1)}`,
      undo: () => noRules(world, network),
    };
  },
  'a default': async (world, way, pick) => {
    const { vm, index } = anyNic(way, pick);
    const network = world.networkOf(vm, index);
    await world.said(`network acl default ${network} deny`);
    return {
      kind: 'acl',
      at: `${network}/default`,
      undo: async () => {
        await noRules(world, network);
        await world.said(`network acl default ${network} allow`);
      },
    };
  },
  'another address in the guest': async (world, way, pick) => {
    const [vm, index] = pick(2) === 0 ? [way.vms[0]!, way.out[0]!] : [target(way), way.into.at(-1)!];
    const own = await world.addressOf(vm, index, way.ipv6);
    const bits = way.ipv6 ? 64 : 24;
    const other = own.replace(/[\da-f]+$/, '77');
    // The new one first: routes by this network stay. Nobody is asked whether he has it, which takes a
    // second or two, nor does the next announcement of a router give the old one back.
    const ipv6 = `/proc/sys/net/ipv6/conf/eth${index}`;
    await world.does(vm, `echo 0 >${ipv6}/accept_dad; echo 0 >${ipv6}/autoconf`);
    await world.does(
      vm,
      `${ip(way)} address add ${other}/${bits} dev eth${index}; ${ip(way)} address del ${own}/${bits} dev eth${index}`,
    );
    return { kind: 'address', at: nicOn(vm, index).name, undo: () => started(world, vm) };
  },
  'an interface is down in the guest': async (world, way, pick) => {
    const { vm, index, name } = anyNic(way, pick);
    await world.does(vm, `ip link set eth${index} down`);
    return { kind: 'nic', at: name, undo: () => started(world, vm) };
  },
  'the way there is gone in the guest': async (world, way) => {
    const [vm] = way.vms as [string];
    await world.does(vm, `${ip(way)} route flush table main`);
    return { kind: 'route', at: vm, undo: () => started(world, vm) };
  },
  'the way back is gone in the guest': async (world, way) => {
    const vm = target(way);
    await world.does(vm, `${ip(way)} route flush table main`);
    return { kind: 'route', at: vm, undo: () => started(world, vm) };
  },
  'a route by nobody': async (world, way) => {
    const [vm] = way.vms as [string];
    const via = (await world.addressOf(vm, way.out[0]!, way.ipv6)).replace(/[\da-f]+$/, way.ipv6 ? 'fa' : '250');
    await world.does(vm, `${ip(way)} route add ${await world.targetOf(way)} via ${via} dev eth${way.out[0]!} metric 1`);
    return { kind: 'route', at: vm, undo: () => started(world, vm) };
  },
  'a route that refuses': async (world, way) => {
    const [vm] = way.vms as [string];
    await world.does(vm, `${ip(way)} route add unreachable ${await world.targetOf(way)}`);
    return { kind: 'route', at: vm, undo: () => started(world, vm) };
  },
  'nothing listens': async (world, way) => {
    const vm = target(way);
    await world.does(vm, 'killall httpd');
    return { kind: 'service', at: vm, undo: () => world.does(vm, `httpd -p ${PORT}`) };
  },
  'it listens for itself only': async (world, way) => {
    const vm = target(way);
    const again = (where: string) =>
      world.does(vm, `killall httpd; until httpd -p ${where}${PORT}; do sleep 0.1; done`);
    await again('127.0.0.1:');
    return { kind: 'service', at: vm, undo: () => again('') };
  },
  'another VLAN': async (world, way, pick) => {
    const hop = pick(way.out.length);
    const ends = [nicOn(way.vms[hop]!, way.out[hop]!), nicOn(way.vms[hop + 1]!, way.into[hop]!)] as const;
    const { vm, index } = ends[pick(2)]!;
    await world.said(`nic set ${vm} eth${index} --vlan 20`);
    return {
      kind: 'vlan',
      at: ends[1].name,
      undo: async () => {
        for (const end of ends) await world.said(`nic set ${end.vm} eth${end.index} --vlan none`);
      },
    };
  },
  'the router passes nothing on': async (world, way) => {
    if (way.vms.length === 2) return BREAKS['nothing listens']!(world, way, () => 0);
    await world.does('r', 'echo 0 >/proc/sys/net/ipv4/ip_forward');
    return {
      kind: 'router',
      at: 'r',
      undo: () => world.does('r', 'echo 1 >/proc/sys/net/ipv4/ip_forward'),
    };
  },
};

async function rulesOf(world: ExplainWorld, network: string): Promise<number[]> {
  const { spec } = await world.host.client.call('network.get', { params: { network } });
  return (spec.acl?.rules ?? []).flatMap(({ id }) => id ?? []);
}

async function noRules(world: ExplainWorld, network: string): Promise<void> {
  for (const id of await rulesOf(world, network)) await world.said(`network acl remove ${network} ${id}`);
}
