import type { AclRule, Fault, FaultSpecInput } from '@skerry/api';
import { copyOf, lans, NETWORKS, nicsOf, NODE, running, some, usersOf, vmOf, type Maker } from './networks-step.ts';
import { forwardText, type ForwardOf } from './networks-world.ts';

/** Forwards, rules, routes, faults and captures that come and go. */

const HOST = '127.0.0.1';

const addForward: Maker = (world, random, { ports }) => {
  const network = some(
    random,
    lans(world).filter((each) => usersOf(world, each).length > 0),
  );
  if (network === undefined) return undefined;
  const vm = random.pick(usersOf(world, network));
  const place = random.below(ports.length);
  const body: ForwardOf = {
    hostAddress: HOST,
    hostPort: ports[place] as number,
    protocol: random.chance(0.3) ? 'udp' : 'tcp',
    vm,
    guestPort: 80,
  };
  const text = forwardText(body);
  const [end = ''] = text.split(' ');
  const all = [...world.networks].flatMap(([name, { forwards }]) => forwards.map((each) => [name, each] as const));
  const same = all.find(([, each]) => each.startsWith(`${end} `));
  const isRefused = same !== undefined && (same[0] !== network || same[1] !== text);
  const after = copyOf(world);
  if (same === undefined) after.networks.get(network)?.forwards.push(text);
  return {
    what: `forward add ${network} port ${place}/${body.protocol} to ${vm}`,
    after,
    ...(isRefused ? { refusal: 'in-use' } : {}),
    usualMs: 60,
    ask: (client) => client.run('network.forward.add', { params: { network }, body }),
  };
};

const removeForward: Maker = (world, random) => {
  const network = some(
    random,
    lans(world).filter((each) => (world.networks.get(each)?.forwards.length ?? 0) > 0),
  );
  if (network === undefined) return undefined;
  const forward = random.pick(world.networks.get(network)?.forwards ?? []);
  const [, hostAddress = '', hostPort = '', protocol] = /^(.*):(\d+)\/(\w+) /.exec(forward) ?? [];
  const after = copyOf(world);
  const left = after.networks.get(network)?.forwards ?? [];
  left.splice(left.indexOf(forward), 1);
  return {
    what: `forward remove ${network} ${protocol} to ${forward.split(' ')[1]}`,
    after,
    usualMs: 60,
    ask: (client) =>
      client.run('network.forward.remove', {
        params: { network },
        query: { hostAddress, hostPort, protocol: protocol as 'tcp' | 'udp' },
      }),
  };
};

const addRule: Maker = (world, random) => {
  const network = some(random, lans(world));
  if (network === undefined) return undefined;
  const end = (): string => random.pick(['any', ...world.vms.keys()]);
  const rule = {
    action: random.pick(['allow', 'deny'] as const),
    from: end(),
    to: end(),
    ...(random.chance(0.5) ? { protocol: random.pick(['icmp', 'tcp'] as const) } : {}),
  };
  const after = copyOf(world);
  const rules = after.networks.get(network)?.rules ?? [];
  const isSame = (each: AclRule): boolean =>
    each.action === rule.action && each.from === rule.from && each.to === rule.to && each.protocol === rule.protocol;
  if (!rules.some(isSame)) rules.push({ id: 1 + Math.max(0, ...rules.map(({ id = 0 }) => id)), ...rule });
  return {
    what: `acl add ${network} ${rule.action} ${rule.protocol ?? 'all'} ${rule.from} ${rule.to}`,
    after,
    usualMs: 60,
    ask: (client) => client.run('network.acl.add', { params: { network }, body: rule }),
  };
};

const removeRule: Maker = (world, random) => {
  const network = some(
    random,
    lans(world).filter((each) => (world.networks.get(each)?.rules.length ?? 0) > 0),
  );
  if (network === undefined) return undefined;
  const { id = 0 } = random.pick(world.networks.get(network)?.rules ?? []);
  const isUnknown = random.chance(0.1);
  const after = copyOf(world);
  const changed = after.networks.get(network);
  if (changed !== undefined && !isUnknown) changed.rules = changed.rules.filter((rule) => rule.id !== id);
  const rule = isUnknown ? '999' : String(id);
  return {
    what: `acl remove ${network} ${rule}`,
    after,
    ...(isUnknown ? { refusal: 'not-found' } : {}),
    usualMs: 60,
    ask: (client) => client.run('network.acl.remove', { params: { network, rule } }),
  };
};

const turnAcl: Maker = (world, random) => {
  const network = some(random, lans(world));
  const before = network === undefined ? undefined : world.networks.get(network)?.aclDefault;
  if (network === undefined || before === undefined) return undefined;
  const verdict = before === 'allow' ? 'deny' : 'allow';
  const after = copyOf(world);
  (after.networks.get(network) as { aclDefault: string }).aclDefault = verdict;
  return {
    what: `acl default ${network} ${verdict}`,
    after,
    usualMs: 60,
    ask: (client) => client.run('network.acl.default', { params: { network }, body: { default: verdict } }),
  };
};

const addRoute: Maker = (world, random) => {
  const network = some(random, lans(world));
  if (network === undefined) return undefined;
  const [to, via] = [`10.250.${random.below(4)}.0/24`, `10.97.${NETWORKS.indexOf(network)}.${random.pick([50, 51])}`];
  const after = copyOf(world);
  const routes = after.networks.get(network)?.routes ?? [];
  const known = routes.find((each) => each.startsWith(`${to} `));
  if (known === undefined) routes.push(`${to} via ${via}`);
  return {
    what: `route add ${network} ${to} via ${via}`,
    after,
    ...(known === undefined || known.endsWith(` ${via}`) ? {} : { refusal: 'conflict' }),
    usualMs: 60,
    ask: (client) => client.run('network.route.add', { params: { network }, body: { to, via } }),
  };
};

const removeRoute: Maker = (world, random) => {
  const network = some(
    random,
    lans(world).filter((each) => (world.networks.get(each)?.routes.length ?? 0) > 0),
  );
  if (network === undefined) return undefined;
  const route = random.pick(world.networks.get(network)?.routes ?? []);
  const [to = ''] = route.split(' ');
  const after = copyOf(world);
  const left = after.networks.get(network)?.routes ?? [];
  left.splice(left.indexOf(route), 1);
  return {
    what: `route remove ${network} ${to}`,
    after,
    usualMs: 60,
    ask: (client) => client.run('network.route.remove', { params: { network }, query: { to } }),
  };
};

const LEASES_MS = [800, 2000, 5000];

const startFault: Maker = (world, random, { datapath }) => {
  const specs: FaultSpecInput[] = [];
  const [vm, index] =
    some(
      random,
      nicsOf(world, (name) => vmOf(world, name).state === 'running'),
    ) ?? [];
  if (vm !== undefined) {
    const at = `${vm}:eth${index}`;
    // In the kernel they take netem, which not every one has.
    if (datapath === 'user') {
      specs.push({ kind: 'impair', nic: at, impairment: { loss: 1 } });
      specs.push({ kind: 'impair', nic: at, impairment: { delayMs: 20, jitterMs: 5 }, dir: 'a2b' });
    }
    specs.push({ kind: 'link-down', nic: at });
  }
  const members = [`${NODE}/a`, `${NODE}/b`].filter((name) => world.vms.get(name)?.state === 'running');
  if (members.length === 2) specs.push({ kind: 'partition', node: NODE, groups: [['a'], ['b']] });
  const spec = some(random, specs);
  const forMs = random.pick(LEASES_MS);
  if (spec === undefined) return undefined;
  const { kind, ...of } = spec;
  return {
    what: `fault ${kind} ${JSON.stringify(of)} for ${forMs} ms`,
    after: copyOf(world),
    usualMs: 60,
    fault: spec,
    ask: (client): Promise<Fault> => client.call('fault.start', { body: { spec, forMs } }),
  };
};

const clearFaults: Maker = (world, random) => {
  const vm = some(random, running(world));
  if (vm === undefined) return undefined;
  return {
    what: `fault clear ${vm}`,
    after: copyOf(world),
    usualMs: 40,
    clears: vm,
    ask: (client) => client.call('fault.clear', { body: { of: vm } }),
  };
};

const startCapture: Maker = (world, random) => {
  const [vm, index] =
    some(
      random,
      nicsOf(world, (name) => vmOf(world, name).state === 'running'),
    ) ?? [];
  if (vm === undefined) return undefined;
  const at = `${vm}:eth${index}`;
  const isThere = world.captures.has(at);
  const network = vmOf(world, vm).nics.get(index ?? 0)?.network ?? '';
  // Nothing passes at a link whose other end does not run.
  const others = usersOf(world, network).filter((name) => vmOf(world, name).state === 'running');
  const isCut = world.networks.get(network)?.mode === 'link' && others.length < 2;
  const refusal = isCut ? 'wrong-state' : isThere ? 'in-use' : undefined;
  const after = copyOf(world);
  after.captures.add(at);
  return {
    what: `capture start ${at}`,
    after,
    ...(refusal === undefined ? {} : { refusal }),
    usualMs: 40,
    ask: (client) =>
      client.call('capture.start', { params: { vm, nic: `eth${index}` }, body: { ringBytes: 256 * 1024 } }),
  };
};

const stopCapture: Maker = (world, random) => {
  const at = some(random, [...world.captures].toSorted());
  const [vm = '', name = ''] = at?.split(':') ?? [];
  if (at === undefined) return undefined;
  const after = copyOf(world);
  after.captures.delete(at);
  return {
    what: `capture stop ${at}`,
    after,
    usualMs: 40,
    ask: (client) => client.call('capture.stop', { params: { vm, nic: name } }),
  };
};

/** As often as they are named. */
export const RULE_STEPS: readonly Maker[] = [
  ...[addForward, addForward, removeForward, addRule, addRule, removeRule, turnAcl, addRoute, removeRoute],
  ...[startFault, startFault, startFault, clearFaults, startCapture, stopCapture],
];
