import { linkName, type NetworkMode, type NodeUpInput } from '@skerry/api';
import {
  copyOf,
  freeIndex,
  lans,
  links,
  MEMORY_MIB,
  MOST_ALIVE,
  MOST_NICS,
  NETWORKS,
  nic,
  nicsOf,
  NODE,
  own,
  running,
  some,
  STARTED,
  STOPPED,
  usersOf,
  vmOf,
  VMS,
  withoutCaptures,
  withoutLink,
  withoutLinksOf,
  type Maker,
  type Places,
} from './networks-step.ts';
import { emptyNetwork, type NicOf } from './networks-world.ts';

/** Networks, VMs, a node, NICs and links that come and go. */

const NODE_NETWORK = `${NODE}-lan`;

const nodeUp = (datapath: Places['datapath']): NodeUpInput => ({
  name: NODE,
  spec: {
    networks: { lan: { mode: 'isolated', datapath } },
    vms: {
      a: { image: 'micro', cpus: 1, memoryMib: MEMORY_MIB, nics: [{ network: 'lan' }] },
      b: { image: 'micro', cpus: 1, memoryMib: MEMORY_MIB, nics: [{ network: 'lan' }] },
    },
  },
});

const createNetwork: Maker = (world, random, { datapath }) => {
  const name = random.pick(NETWORKS);
  const number = NETWORKS.indexOf(name);
  const mode: NetworkMode = random.pick(['nat', 'isolated', 'host-only']);
  const [hasIpv6, hasRange] = [random.chance(0.5), random.chance(0.4)];
  const subnet = `10.97.${number}.0/24`;
  const range = { from: `10.97.${number}.200`, to: `10.97.${number}.220` };
  const ipv6 = `fd00:97:${number}::/64`;
  const body = {
    name,
    mode,
    subnet,
    datapath,
    ...(hasIpv6 ? { ipv6 } : {}),
    ...(hasRange ? { dhcpRange: range } : {}),
  };
  const after = copyOf(world);
  const isThere = world.networks.has(name);
  if (!isThere) {
    after.networks.set(name, {
      ...emptyNetwork(mode),
      subnet,
      ipv6: hasIpv6 ? ipv6 : undefined,
      dhcpRange: hasRange ? `${range.from}-${range.to}` : undefined,
    });
  }
  return {
    what: `network create ${name} ${mode}${hasIpv6 ? ' ipv6' : ''}${hasRange ? ' dhcp' : ''}`,
    after,
    ...(isThere ? { refusal: 'conflict' } : {}),
    usualMs: 60,
    ask: (client) => client.run('network.create', { body }),
  };
};

const deleteNetwork: Maker = (world, random) => {
  const name = some(random, lans(world));
  if (name === undefined) return undefined;
  const isUsed = usersOf(world, name).length > 0;
  // Mostly those that can go.
  if (isUsed && random.chance(0.6)) return undefined;
  const after = copyOf(world);
  if (!isUsed) after.networks.delete(name);
  return {
    what: `network delete ${name}`,
    after,
    ...(isUsed ? { refusal: 'in-use' } : {}),
    usualMs: 60,
    ask: (client) => client.run('network.delete', { params: { network: name } }),
  };
};

const createVm: Maker = (world, random) => {
  const name = some(
    random,
    VMS.filter((each) => !world.vms.has(each)),
  );
  const first = some(random, lans(world));
  if (name === undefined || first === undefined) return undefined;
  const second = random.chance(0.4)
    ? some(
        random,
        lans(world).filter((each) => each !== first),
      )
    : undefined;
  const networks = [first, ...(second === undefined ? [] : [second])];
  const start = random.chance(0.7) && running(world).length < MOST_ALIVE;
  const [after, made] = [copyOf(world), copyOf(world)];
  const asked = new Map(networks.map((network, index) => [index, nic(network)]));
  after.vms.set(name, { ...(start ? STARTED : STOPPED), nics: asked });
  made.vms.set(name, { ...STOPPED, nics: asked });
  return {
    what: `create ${name} on ${networks.join(', ')}${start ? ', started' : ''}`,
    after,
    between: [made],
    usualMs: start ? 1200 : 150,
    ask: (client) => client.run('vm.create', { body: { name, memoryMib: MEMORY_MIB, networks, start } }),
  };
};

const startVm: Maker = (world, random) => {
  const name = some(
    random,
    own(world).filter((each) => vmOf(world, each).state === 'stopped'),
  );
  if (name === undefined || running(world).length >= MOST_ALIVE) return undefined;
  const after = copyOf(world);
  after.vms.set(name, { ...vmOf(after, name), ...STARTED });
  return {
    what: `start ${name}`,
    after,
    usualMs: 1000,
    ask: (client) => client.run('vm.start', { params: { vm: name } }),
  };
};

const stopVm: Maker = (world, random) => {
  const name = some(
    random,
    own(world).filter((each) => vmOf(world, each).state === 'running'),
  );
  if (name === undefined) return undefined;
  const after = copyOf(world);
  after.vms.set(name, { ...vmOf(after, name), ...STOPPED });
  withoutCaptures(after, `${name}:`);
  return {
    what: `stop ${name}`,
    after,
    usualMs: 500,
    ask: (client) => client.run('vm.stop', { params: { vm: name }, body: {} }),
  };
};

const deleteVm: Maker = (world, random) => {
  const name = some(random, own(world));
  if (name === undefined || random.chance(0.4)) return undefined;
  const unlinked = withoutLinksOf(world, name);
  const after = copyOf(unlinked);
  withoutCaptures(after, `${name}:`);
  after.vms.delete(name);
  return {
    what: `delete ${name}`,
    after,
    between: [unlinked],
    usualMs: 250,
    ask: (client) => client.run('vm.delete', { params: { vm: name }, query: { force: true } }),
  };
};

const addNic: Maker = (world, random) => {
  const vm = some(
    random,
    [...world.vms.keys()].filter((name) => vmOf(world, name).nics.size < MOST_NICS),
  );
  if (vm === undefined) return undefined;
  const its = vmOf(world, vm);
  const network = some(
    random,
    lans(world).filter((name) => ![...its.nics.values()].some((each) => each.network === name)),
  );
  if (network === undefined) return undefined;
  const vlan = random.chance(0.3) ? random.pick([5, 6]) : undefined;
  const index = freeIndex(its);
  // A machine that runs has no more devices than it was started with.
  const isFull = its.state === 'running' && its.devices !== undefined && index >= its.devices;
  const after = copyOf(world);
  if (!isFull) {
    const nics = [...vmOf(after, vm).nics, [index, nic(network, { vlan })] as [number, NicOf]].toSorted(
      ([a], [b]) => a - b,
    );
    after.vms.set(vm, { ...vmOf(after, vm), nics: new Map(nics) });
  }
  return {
    what: `nic add ${vm} eth${index} on ${network}${vlan === undefined ? '' : `.${vlan}`}`,
    after,
    ...(isFull ? { refusal: 'unsupported' } : {}),
    usualMs: 120,
    ask: (client) =>
      client.run('vm.nic.add', { params: { vm }, body: { network, ...(vlan === undefined ? {} : { vlan }) } }),
  };
};

/** By hand only what a node does not declare. */
const isOurs = (vm: string, index: number): boolean => VMS.includes(vm) || index > 0;

const setNic: Maker = (world, random) => {
  const [vm, index, before] =
    some(
      random,
      nicsOf(world, (name, { network }, at) => isOurs(name, at) && lans(world).includes(network)),
    ) ?? [];
  if (vm === undefined || index === undefined || before === undefined) return undefined;
  const patch = random.pick([
    { link: before.link === 'up' ? 'down' : 'up' } as const,
    { vlan: before.vlan === undefined ? random.pick([5, 6]) : null },
    { rateKbit: before.rateKbit === undefined ? 50_000 : null },
  ]);
  const after = copyOf(world);
  const changed = Object.fromEntries(Object.entries(patch).map(([key, value]) => [key, value ?? undefined]));
  vmOf(after, vm).nics.set(index, { ...before, ...changed });
  return {
    what: `nic set ${vm}:eth${index} ${JSON.stringify(patch)}`,
    after,
    usualMs: 120,
    ask: (client) => client.run('vm.nic.set', { params: { vm, nic: `eth${index}` }, body: patch }),
  };
};

const removeNic: Maker = (world, random) => {
  const [vm, index] =
    some(
      random,
      nicsOf(world, (name, { network }, at) => isOurs(name, at) && lans(world).includes(network)),
    ) ?? [];
  if (vm === undefined || index === undefined) return undefined;
  const after = copyOf(world);
  withoutCaptures(after, `${vm}:eth${index}`);
  vmOf(after, vm).nics.delete(index);
  return {
    what: `nic remove ${vm}:eth${index}`,
    after,
    usualMs: 120,
    ask: (client) => client.run('vm.nic.remove', { params: { vm, nic: `eth${index}` } }),
  };
};

const createLink: Maker = (world, random, { datapath }) => {
  if (datapath === 'kernel') return undefined;
  const hasRoom = (name: string): boolean => {
    const vm = vmOf(world, name);
    return vm.nics.size < MOST_NICS + 1 && (vm.state !== 'running' || freeIndex(vm) < (vm.devices ?? 0));
  };
  const a = some(random, [...world.vms.keys()].filter(hasRoom));
  const b = some(
    random,
    [...world.vms.keys()].filter((name) => name !== a && hasRoom(name)),
  );
  if (a === undefined || b === undefined) return undefined;
  const ends: [string, string] = [a, b].map((vm) => `${vm}:eth${freeIndex(vmOf(world, vm))}`) as [string, string];
  const name = linkName(...ends);
  // One whose other end was deleted keeps its name.
  if (world.networks.has(name)) return undefined;
  const after = copyOf(world);
  after.networks.set(name, emptyNetwork('link'));
  for (const vm of [a, b]) {
    const its = vmOf(after, vm);
    const nics = [...its.nics, [freeIndex(its), nic(name)] as [number, NicOf]].toSorted(
      ([one], [other]) => one - other,
    );
    after.vms.set(vm, { ...its, nics: new Map(nics) });
  }
  return { what: `link create ${ends.join(' ')}`, after, usualMs: 150, ask: (client) => client.link(...ends) };
};

const deleteLink: Maker = (world, random) => {
  const name = some(random, links(world));
  if (name === undefined) return undefined;
  const after = copyOf(world);
  withoutLink(after, name);
  return {
    what: `link delete ${name}`,
    after,
    usualMs: 150,
    ask: (client) => client.run('link.delete', { params: { link: name } }),
  };
};

const turnNode: Maker = (world, random, { datapath }) => {
  const members = [`${NODE}/a`, `${NODE}/b`];
  const isThere = world.networks.has(NODE_NETWORK);
  const isUp = members.every((name) => world.vms.get(name)?.state === 'running');
  const [after, down] = [copyOf(world), copyOf(world)];
  for (const name of members) {
    withoutCaptures(down, `${name}:`);
    if (isThere) down.vms.set(name, { ...vmOf(down, name), ...STOPPED });
  }
  if (!isUp) {
    if (running(world).length > MOST_ALIVE - members.length) return undefined;
    if (!isThere) after.networks.set(NODE_NETWORK, emptyNetwork('isolated'));
    for (const name of members) {
      const nics = world.vms.get(name)?.nics ?? new Map([[0, nic(NODE_NETWORK)]]);
      after.vms.set(name, { ...STARTED, nics });
    }
    const body = nodeUp(datapath);
    return { what: `up ${NODE}`, after, usualMs: 1500, ask: (client) => client.run('node.up', { body }) };
  }
  if (random.chance(0.5)) {
    return {
      what: `down ${NODE}`,
      after: down,
      usualMs: 800,
      ask: (client) => client.run('node.down', { params: { node: NODE } }),
    };
  }
  const unlinked = members.map((name) => withoutLinksOf(down, name));
  const gone = members.reduce(withoutLinksOf, down);
  for (const name of members) gone.vms.delete(name);
  gone.networks.delete(NODE_NETWORK);
  return {
    what: `node delete ${NODE}`,
    after: gone,
    between: [down, ...unlinked],
    usualMs: 900,
    ask: (client) => client.run('node.delete', { params: { node: NODE }, query: { force: 'true' } }),
  };
};

/** As often as they are named. */
export const MACHINE_STEPS: readonly Maker[] = [
  ...[createNetwork, createNetwork, deleteNetwork, createVm, createVm, createVm, startVm, startVm, stopVm, deleteVm],
  ...[addNic, addNic, setNic, setNic, removeNic, createLink, createLink, deleteLink, turnNode, turnNode],
];
