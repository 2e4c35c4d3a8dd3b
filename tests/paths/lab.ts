import { startTestHost, type TestHost } from '@skerry/testkit';
import type { NetworkMode } from '@skerry/api';
import { LAN_HOST, LAN_RANGE, LAN_ROUTER, makeLan, PARENT } from '../attacks/lan.ts';
import { HOST_IP, HOST_IP6, makeSurroundings, METADATA, WORLD_IP, WORLD_IP6 } from '../attacks/surroundings.ts';
import { isOpen, targets, type Asker, type PathNetwork, type PathNic, type Target } from './matrix.ts';
import { buildPaths, everyProtocol, proberInNamespace, proberInVm, type Prober, type Question } from './prober.ts';

/** VMs on networks of all modes, and each path between them and the world, walked. As root only. */

const MEMORY_MIB = 64;
/** A path that should be there may be slow on a machine that is busy, and what is not to be there may have been late. */
const TRIES = 4;
/** Of what has a way of its own by each NIC. */
const FIRST_TABLE = 100;

interface NetworkWish {
  readonly name: string;
  readonly mode: Exclude<NetworkMode, 'bridged' | 'link'>;
  readonly datapath: 'user' | 'kernel';
  /** Default: of the pool that all take theirs from. */
  readonly subnet?: string;
}

const NETWORKS: readonly NetworkWish[] = [
  { name: 'nat-user', mode: 'nat', datapath: 'user' },
  { name: 'nat-kernel', mode: 'nat', datapath: 'kernel' },
  { name: 'alone-user', mode: 'isolated', datapath: 'user' },
  { name: 'alone-kernel', mode: 'isolated', datapath: 'kernel' },
  { name: 'host-user', mode: 'host-only', datapath: 'user' },
  { name: 'host-kernel', mode: 'host-only', datapath: 'kernel', subnet: '10.75.0.0/24' },
  { name: 'over', mode: 'overlay', datapath: 'kernel' },
];
/** A machine has room for four NICs: two pairs, of which the first one has a wire as well. */
const FIRST = ['nat-user', 'nat-kernel', 'over'];
const SECOND = NETWORKS.map(({ name }) => name).filter((name) => !FIRST.includes(name));
const LAN = 'lan';
const VMS: Readonly<Record<string, readonly string[]>> = {
  a: FIRST,
  b: FIRST,
  c: SECOND,
  d: SECOND,
  e: [LAN],
  f: [LAN],
};
const WIRE = `eth${FIRST.length}`;

export interface PathReport {
  readonly walked: number;
  readonly open: number;
  readonly problems: readonly string[];
}

export class PathLab implements AsyncDisposable {
  readonly #undo: AsyncDisposableStack;
  readonly #probers: readonly Prober[];
  readonly #networks: ReadonlyMap<string, PathNetwork>;
  readonly #nics: readonly PathNic[];
  readonly #targets: readonly Target[];

  private constructor(
    probers: readonly Prober[],
    networks: readonly PathNetwork[],
    nics: readonly PathNic[],
    undo: AsyncDisposableStack,
  ) {
    this.#undo = undo;
    this.#probers = probers;
    this.#networks = new Map(networks.map((network) => [network.name, network]));
    this.#nics = nics;
    this.#targets = targets(networks, nics, {
      host: [HOST_IP, HOST_IP6, LAN_HOST.address, LAN_HOST.address6],
      lan: [LAN_ROUTER.address, LAN_ROUTER.address6],
      world: [WORLD_IP, WORLD_IP6],
      metadata: [METADATA],
    });
  }

  static async make(): Promise<PathLab> {
    await using undo = new AsyncDisposableStack();
    const surroundings = undo.use(await makeSurroundings());
    const lan = undo.use(await makeLan(surroundings.host));
    const host = undo.use(await startTestHost({ wrap: ['nsenter', `--net=${surroundings.host}`] }));
    const { client } = host;
    for (const [index, wish] of NETWORKS.entries()) {
      const vni = wish.mode === 'overlay' ? { vni: 77 } : {};
      await client.run('network.create', { body: { ...wish, ipv6: `fd00:7${index}::/64`, ...vni } });
    }
    const bridged = { mode: 'bridged' as const, parent: PARENT, dhcpRange: LAN_RANGE, confirm: true };
    await client.run('network.create', { body: { name: LAN, ...bridged } });
    await Promise.all(
      Object.entries(VMS).map(([name, networks]) =>
        client.run('vm.create', { body: { name, memoryMib: MEMORY_MIB, networks: [...networks] } }),
      ),
    );
    await client.run('link.create', { body: { ends: [`a:${WIRE}`, `b:${WIRE}`] } });
    const names = Object.keys(VMS);
    await Promise.all(names.map((vm) => client.run('vm.start', { params: { vm } })));
    const [networks, nics] = await Promise.all([networksOf(host), nicsOf(host)]);
    const program = await buildPaths(host.dir);
    const probers = await Promise.all([
      ...names.map((vm) => proberInVm(client, vm, program)),
      ...Object.entries({ host: surroundings.host, world: surroundings.world, lan: lan.netns }).map(
        async ([name, netns]) => undo.use(await proberInNamespace(name, netns, program)),
      ),
    ]);
    for (const vm of names) await client.exec(vm, waysOut(vm, networks, nics));
    return new PathLab(probers, networks, nics, undo.move());
  }

  /** Each question of each VM by each of its NICs, of the host and of the world. */
  async walk(): Promise<PathReport> {
    const reports = await Promise.all(this.#probers.map((prober) => this.#walkFrom(prober)));
    return {
      walked: reports.reduce((sum, { walked }) => sum + walked, 0),
      open: reports.reduce((sum, { open }) => sum + open, 0),
      problems: reports.flatMap(({ problems }) => problems),
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#undo.disposeAsync();
  }

  async #walkFrom(prober: Prober): Promise<PathReport> {
    const all = this.#askersOf(prober.name).flatMap((asker) =>
      this.#targets
        .filter((target) => !(target.kind === 'vm' && target.owner === prober.name) && target.kind !== prober.name)
        .flatMap((target) => questionsOf(asker, target).map((question) => ({ asker, target, question }))),
    );
    let left = all;
    let problems: string[] = [];
    for (let attempt = 0; attempt < TRIES && left.length > 0; attempt += 1) {
      const answered = await prober.ask(left.map(({ question }) => question));
      problems = [];
      left = left.filter(({ asker, target, question }, at) => {
        const should = isOpen(asker, target, question.protocol, this.#networks);
        const name = answered.get(at);
        const isRight = name === 'pong' || !('owner' in target) || name === target.owner;
        if (should === undefined || (should === (name !== undefined) && (!should || isRight))) return false;
        problems.push(describe(prober.name, question, target, name));
        return true;
      });
    }
    const open = all.filter(({ asker, target, question }) =>
      isOpen(asker, target, question.protocol, this.#networks),
    ).length;
    return { walked: all.length, open, problems };
  }

  #askersOf(name: string): Asker[] {
    if (name === 'host' || name === 'world' || name === 'lan') return [{ kind: name }];
    return this.#nics
      .filter(({ vm }) => vm === name)
      .map(({ vm, nic, network }) => ({ kind: 'vm', vm, nic, network: this.#networks.get(network)! }));
  }
}

/** What is not next to it goes to the gateway, as to a router. */
function questionsOf(asker: Asker, target: Target): Question[] {
  if (asker.kind !== 'vm') return everyProtocol(target.address);
  const isNear =
    asker.network.mode === 'bridged' && target.kind === 'lan'
      ? true
      : 'network' in target && target.network === asker.network.name;
  const mark = isNear ? {} : { mark: tableOf(asker.nic) };
  return everyProtocol(target.address, { nic: asker.nic, ...mark });
}

function tableOf(nic: string): number {
  return FIRST_TABLE + Number(nic.slice('eth'.length));
}

/** Routes for what the guest would not try by itself: everything by way of each NIC. */
function waysOut(name: string, networks: readonly PathNetwork[], nics: readonly PathNic[]): string {
  return nics
    .filter(({ vm }) => vm === name)
    .flatMap(({ nic, network }) => {
      const found = networks.find((each) => each.name === network);
      // On a LAN somebody takes the host for a router.
      const gateways = found?.mode === 'bridged' ? [LAN_HOST.address] : (found?.gateways ?? []);
      const table = tableOf(nic);
      return (['-4', '-6'] as const).flatMap((family) => {
        const gateway = gateways.find((each) => each.includes(':') === (family === '-6'));
        const via = gateway === undefined ? '' : `via ${gateway} `;
        return [
          `ip ${family} rule add fwmark ${table} table ${table}`,
          `ip ${family} route add default ${via}dev ${nic} table ${table}`,
        ];
      });
    })
    .join('; ');
}

async function networksOf({ client }: TestHost): Promise<PathNetwork[]> {
  return (await client.call('network.list')).map(({ name, spec, status }) => ({
    name,
    mode: spec.mode,
    datapath: status.datapath,
    gateways:
      spec.mode === 'bridged' ? [] : [status.gateway, status.ipv6?.gateway ?? ''].filter((address) => address !== ''),
  }));
}

async function nicsOf({ client }: TestHost): Promise<PathNic[]> {
  return (await client.call('vm.list')).flatMap(({ name, status }) =>
    status.nics.map(({ network, address, address6 = '', index }, place) => ({
      vm: name,
      nic: `eth${index ?? place}`,
      network,
      addresses: [address, address6].filter((each) => each !== ''),
    })),
  );
}

function describe(from: string, { nic, protocol }: Question, target: Target, name: string | undefined): string {
  const to = `${'owner' in target ? target.owner : target.kind} at ${target.address}${'network' in target ? ` (${target.network})` : ''}`;
  const who = `${from}${nic === undefined ? '' : `:${nic}`}`;
  return name === undefined
    ? `${who} does not reach ${to} by ${protocol}, and should`
    : `${who} reaches ${to} by ${protocol} (${name}), and should not`;
}
