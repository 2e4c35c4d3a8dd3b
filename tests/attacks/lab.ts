import { readFile } from 'node:fs/promises';
import { startTestHost, type TestHost } from '@skerry/testkit';
import { castOf, ELSEWHERE, makeNetworks, nicOf, otherOf, VMS, WALLED_VLAN, type Ground } from './ground.ts';
import { makeLan } from './lan.ts';
import { buildStation, Station } from './station.ts';
import { arePossible, makeSurroundings, type Surroundings } from './surroundings.ts';
import type { Stage } from './trial.ts';

/** A host with guests who attack each other, and somebody who listens everywhere. */

const MEMORY_MIB = 64;
const PROGRAM = '/bin/station';
/** Who is on the LAN unasked. */
const NEIGHBOUR = 'neighbour';

export class Lab implements AsyncDisposable {
  readonly host: TestHost;
  /** As root only: else its host is this machine, and nobody hears what goes out. */
  readonly surroundings: Surroundings | undefined;
  readonly grounds: readonly Ground[];
  readonly #stations: ReadonlyMap<string, Station>;
  readonly #undo: AsyncDisposableStack;

  private constructor(
    host: TestHost,
    surroundings: Surroundings | undefined,
    grounds: readonly Ground[],
    stations: readonly Station[],
    undo: AsyncDisposableStack,
  ) {
    this.host = host;
    this.surroundings = surroundings;
    this.grounds = grounds;
    this.#stations = new Map(stations.map((station) => [station.name, station]));
    this.#undo = undo;
  }

  /** @param who of the VMs runs, besides Eve and the victim; the others' NICs are known all the same */
  static async make(grounds: readonly Ground[], who: readonly string[] = [...VMS, ELSEWHERE]): Promise<Lab> {
    await using undo = new AsyncDisposableStack();
    const surroundings = arePossible() ? undo.use(await makeSurroundings()) : undefined;
    const hasLan = grounds.some(({ mode }) => mode === 'bridged');
    const lan = surroundings !== undefined && hasLan ? undo.use(await makeLan(surroundings.host)) : undefined;
    const wrap = surroundings === undefined ? [] : ['nsenter', `--net=${surroundings.host}`];
    const host = undo.use(await startTestHost({ wrap }));
    const { client } = host;
    await makeNetworks(host, grounds);
    const names = grounds.map(({ name }) => name);
    const otherNames = names.map((name) => otherOf(name));
    const create = (name: string, networks: readonly string[]) =>
      client.run('vm.create', { body: { name, memoryMib: MEMORY_MIB, networks: [...networks] } });
    await Promise.all([...VMS.map((name) => create(name, names)), create(ELSEWHERE, otherNames)]);
    for (const ground of grounds.filter(({ mode }) => mode !== 'bridged')) {
      const params = { vm: 'walled', nic: nicOf(grounds, ground) };
      await client.run('vm.nic.set', { params, body: { vlan: WALLED_VLAN } });
    }
    const wire = wireOf(grounds);
    await client.run('link.create', { body: { ends: [`eve:${wire}`, `victim:${wire}`] } });
    const running = [...new Set(['eve', 'victim', ...who])];
    const program = await buildStation(host.dir);
    const bytes = await readFile(program);
    const stations = await Promise.all(
      running.map(async (vm) => {
        await client.run('vm.start', { params: { vm } });
        await client.exec(vm, `cat > ${PROGRAM}; chmod +x ${PROGRAM}; ${quiet(vm, wire)}`, { stdin: bytes });
        return undo.use(await Station.inVm(client, vm, PROGRAM));
      }),
    );
    if (surroundings !== undefined) {
      stations.push(undo.use(await Station.inNamespace('world', surroundings.world, program)));
    }
    if (lan !== undefined) stations.push(undo.use(await Station.inNamespace(NEIGHBOUR, lan.netns, program)));
    return new Lab(host, surroundings, grounds, stations, undo.move());
  }

  async stage(ground: Ground): Promise<Stage> {
    const [eve, victim, world] = ['eve', 'victim', 'world'].map((name) => this.#stations.get(name)!);
    return {
      cast: await castOf(this.host, ground),
      nic: nicOf(this.grounds, ground),
      wire: wireOf(this.grounds),
      eve: eve!,
      victim: victim!,
      world,
      walls: [ELSEWHERE, 'world', ground.mode === 'bridged' ? [] : ['walled', NEIGHBOUR]].flat(),
      isBridge: ground.datapath === 'kernel',
      others: [...this.#stations.values()].filter((each) => each !== eve && each !== victim),
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#undo.disposeAsync();
  }
}

/** Behind the networks: `eth3`. */
function wireOf(grounds: readonly Ground[]): string {
  return `eth${grounds.length}`;
}

/** What comes over the wire is heard and not heeded; and frames may be longer than any network's. */
function quiet(vm: string, wire: string): string {
  const heedless = [
    `echo 1 > /proc/sys/net/ipv6/conf/${wire}/disable_ipv6`,
    `echo 8 > /proc/sys/net/ipv4/conf/${wire}/arp_ignore`,
  ];
  const long = 'for each in /sys/class/net/eth*; do echo 2000 > $each/mtu; done';
  return [long, ...(['eve', 'victim'].includes(vm) ? heedless : [])].join('; ');
}
