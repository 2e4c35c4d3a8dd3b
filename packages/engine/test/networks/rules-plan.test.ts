import { Acl, AclAdd, NetworkForward, NetworkSpec, type AclRule, type Route } from '@skerry/api';
import * as fc from '@skerry/testkit/properties';
import { describe, expect, test } from 'vitest';
import {
  checkRules,
  checkVmRoutes,
  describeRule,
  hostEnds,
  networkForwards,
  nextHop,
  routesOfNics,
  rulesetText,
  segmentAcl,
  withNewName,
  withoutRoute,
  withRoute,
  type PlannedNetwork,
  type PlannedVm,
} from '../../src/networks/index.ts';
import { withoutRule, withRule, withRuleIds } from '../../src/networks/acl-change-plan.ts';
import { withForward, withoutForward } from '../../src/networks/forward-plan.ts';

/** Forwards, rules and routes: what is asked becomes what is kept, or an error that says what to type. */

const nic = (network: string, address: string, address6?: string) => ({
  network,
  mac: '02:00:00:00:00:01',
  address,
  ...(address6 === undefined ? {} : { address6 }),
});
const vm = (name: string, nics: ReturnType<typeof nic>[], role?: 'router') =>
  ({ id: `id-${name}`, name, spec: { role }, status: { nics } }) as never as Parameters<typeof nextHop>[2][number];
const VMS = [
  vm('web', [nic('dev', '10.9.0.10', 'fd00:9::10')]),
  vm('db', [nic('dev', '10.9.0.11')]),
  vm('r1', [nic('dev', '10.9.0.12', 'fd00:9::12'), nic('lab', '10.8.0.10')], 'router'),
  vm('r2', [nic('lab', '10.8.0.11')], 'router'),
  vm('away', [nic('other', '10.7.0.10')]),
];
const PLACE = { subnet: '10.9.0.0/24', gateway: '10.9.0.1', datapath: 'user' as const };
const PLACE6 = { ...PLACE, ipv6: { subnet: 'fd00:9::/64', gateway: 'fd00:9::1' } };

/** The result, or `code: message`. */
function outcome(body: () => unknown): unknown {
  try {
    return body();
  } catch (error) {
    const { code, message, remedy } = error as { code: string; message: string; remedy: string };
    expect(remedy).toMatch(/\S/);
    return `${code}: ${message}`;
  }
}

describe('a forward', () => {
  const spec = NetworkSpec.parse({ forwards: [{ hostPort: 8080, vm: 'web', guestPort: 80 }] });
  const added = (input: object) =>
    outcome(
      () =>
        withForward(
          spec,
          NetworkForward.parse({ hostPort: 8081, vm: 'web', guestPort: 80, ...input }),
          'dev',
          VMS as never,
        ).forwards,
    );
  const first = { hostAddress: '127.0.0.1', hostPort: 8080, vm: 'web', guestPort: 80, protocol: 'tcp' };

  test.each<[object, unknown]>([
    [{}, [first, { ...first, hostPort: 8081 }]],
    [{ hostPort: 8080, vm: 'id-web' }, [first]],
    [{ hostPort: 8080, protocol: 'udp' }, [first, { ...first, protocol: 'udp' }]],
    [{ hostPort: 8080, hostAddress: '0.0.0.0' }, [first, { ...first, hostAddress: '0.0.0.0' }]],
    [{ vm: 'id-db' }, [first, { ...first, hostPort: 8081, vm: 'db' }]],
    [{ hostPort: 8080, vm: 'db' }, 'in-use: Port 8080 of 127.0.0.1 leads to web:80 already'],
    [{ hostPort: 8080, guestPort: 81 }, 'in-use: Port 8080 of 127.0.0.1 leads to web:80 already'],
    [{ vm: 'nobody' }, "not-found: There is no VM 'nobody'"],
    [{ vm: 'away' }, "invalid: away is not on the network 'dev'"],
  ])('%j: %j', (input, expected) => expect(added(input)).toEqual(expected));

  test('is taken away by its end at the host', () => {
    const key = { hostAddress: '127.0.0.1', hostPort: 8080, protocol: 'tcp' as const };
    expect(withoutForward(spec, key).forwards).toEqual([]);
    expect(outcome(() => withoutForward(spec, { ...key, protocol: 'udp' }))).toMatch(/not-found: 127.0.0.1:8080\/udp/);
    expect(outcome(() => withoutForward(NetworkSpec.parse({}), key))).toMatch(/not-found/);
  });

  test('is listened for while its VM can be reached on that network, and TCP only', () => {
    const dev = {
      name: 'dev',
      spec: NetworkSpec.parse({
        forwards: [first, { ...first, protocol: 'udp' }, { ...first, hostPort: 1, vm: 'db' }],
      }),
    };
    const end = { hostAddress: '127.0.0.1', hostPort: 8080, to: { vmId: 'id-web', port: 80 } };
    expect(networkForwards([dev], [VMS[0], VMS[4]] as never)).toEqual([end]);
    expect(networkForwards([{ ...dev, name: 'other' }], [VMS[0]] as never)).toEqual([]);
    expect(hostEnds([dev]).map(({ hostPort }) => hostPort)).toEqual([8080, 1]);
  });
});

describe('a rule', () => {
  const acl = withRuleIds(Acl.parse({ rules: [{ action: 'deny', from: 'web', to: 'db' }] }));
  const added = (input: object) =>
    outcome(() =>
      withRule(acl, AclAdd.parse(input), 'dev', VMS as never)
        .rules.slice(1)
        .map((rule) => `${rule.id} ${describeRule(rule)}`),
    );

  test.each<[object, unknown]>([
    [{ action: 'allow' }, ['2 allow all from any to any']],
    [{ action: 'allow', from: 'id-web', to: '10.0.0.0/8', protocol: 'icmp' }, ['2 allow icmp from web to 10.0.0.0/8']],
    [{ action: 'deny', protocol: 'tcp', ports: { from: 80, to: 80 } }, ['2 deny tcp 80 from any to any']],
    [
      { action: 'deny', protocol: 'udp', ports: { from: 1, to: 9 }, nic: 'r1:eth0' },
      ['2 deny udp 1-9 from any to any at r1:eth0'],
    ],
    [{ action: 'deny', from: 'fd00::/8', to: 'away' }, ['2 deny all from fd00::/8 to away']],
    [{ action: 'deny', from: 'id-web', to: 'id-db' }, []],
    [{ action: 'deny', from: 'nobody' }, "not-found: There is no VM 'nobody'"],
    [{ action: 'deny', nic: 'nobody:eth0' }, "not-found: There is no VM 'nobody'"],
    [{ action: 'deny', nic: 'r1:eth1' }, "not-found: r1:eth1 is not on the network 'dev'"],
    [{ action: 'deny', nic: 'web:eth7' }, "not-found: web:eth7 is not on the network 'dev'"],
    [{ action: 'deny', nic: 'web' }, "invalid: 'web' is no NIC"],
    [{ action: 'deny', ports: { from: 80, to: 80 } }, 'invalid: Ports belong to TCP or UDP'],
    [{ action: 'deny', protocol: 'icmp', ports: { from: 80, to: 80 } }, 'invalid: Ports belong to TCP or UDP'],
    [{ action: 'deny', protocol: 'tcp', ports: { from: 90, to: 80 } }, 'invalid: 90-80 is no range of ports'],
  ])('%j: %j', (input, expected) => expect(added(input)).toEqual(expected));

  test('keeps its number while others come and go', () => {
    let now = acl;
    for (const to of ['any', '10.1.0.0/16', '10.2.0.0/16'])
      now = withRule(now, AclAdd.parse({ action: 'deny', to }), 'dev', VMS as never);
    now = withRule(withoutRule(now, 2), AclAdd.parse({ action: 'allow' }), 'dev', VMS as never);
    expect(now.rules.map(({ id }) => id)).toEqual([1, 3, 4, 5]);
    expect(outcome(() => withoutRule(now, 2))).toBe('not-found: There is no rule 2');
  });

  test('means its VM under another name as well', () => {
    const spec = NetworkSpec.parse({
      acl: { rules: [{ action: 'deny', from: 'web', to: 'webmail', nic: 'web:eth0' }] },
      forwards: [{ hostPort: 1, vm: 'web', guestPort: 1 }],
    });
    const { acl: renamed, forwards } = withNewName(spec, 'web', 'shop');
    expect(renamed?.rules[0]).toMatchObject({ from: 'shop', to: 'webmail', nic: 'shop:eth0' });
    expect(forwards?.[0]?.vm).toBe('shop');
    expect(withNewName(spec, 'we', 'x')).toBe(spec);
    expect(withNewName(spec, 'any', 'x')).toBe(spec);
  });
});

describe('a route', () => {
  test.each<[string, string | undefined, string[], unknown]>([
    ['10.0.0.0/8', '10.9.0.5', ['dev'], { to: '10.0.0.0/8', via: '10.9.0.5' }],
    ['10.1.2.3/8', '10.9.0.5', ['dev'], { to: '10.0.0.0/8', via: '10.9.0.5' }],
    ['10.0.0.0/8', 'db', ['dev'], { to: '10.0.0.0/8', via: '10.9.0.11' }],
    ['10.0.0.0/8', undefined, ['dev'], { to: '10.0.0.0/8', via: '10.9.0.12' }],
    ['fd00:1::1/48', undefined, ['dev'], { to: 'fd00:1::/48', via: 'fd00:9::12' }],
    ['10.0.0.0/8', undefined, ['lab'], "invalid: r1 and r2 are routers on the network 'lab'"],
    ['10.0.0.0/8', undefined, ['other'], "not-found: No router is on the network 'other'"],
    ['10.0.0.0/8', 'away', ['dev'], "not-found: No VM 'away' is on the network 'dev'"],
    ['fd00:1::/48', 'db', ['dev'], "not-found: No VM 'db' is on the network 'dev'"],
  ])('to %s via %s in %j: %j', (to, via, networks, expected) => {
    const places = networks.map((name) => ({ name }));
    expect(outcome(() => nextHop({ to, via }, places, VMS))).toEqual(expected);
  });

  test.each<[Route, unknown]>([
    [{ to: '0.0.0.0/0', via: '10.9.0.7' }, undefined],
    [{ to: '10.0.0.0/8', via: '10.9.0.7' }, undefined],
    [{ to: 'fd00::/16', via: 'fd00:9::7' }, undefined],
    [{ to: '10.0.0.0/8', via: '10.8.0.7' }, 'invalid: 10.8.0.7 is no next hop in 10.9.0.0/24'],
    [{ to: '10.0.0.0/8', via: '10.9.0.0' }, 'invalid: 10.9.0.0 is no next hop in 10.9.0.0/24'],
    [{ to: '10.0.0.0/8', via: '10.9.0.255' }, 'invalid: 10.9.0.255 is no next hop in 10.9.0.0/24'],
    [{ to: '10.0.0.0/8', via: 'fd00:9::7' }, 'invalid: 10.0.0.0/8 can not be reached via fd00:9::7'],
    [{ to: '10.9.0.0/25', via: '10.9.0.7' }, 'invalid: 10.9.0.0/25 is on the network itself'],
    [{ to: 'fd00:9::/64', via: 'fd00:9::7' }, 'invalid: fd00:9::/64 is on the network itself'],
  ])('%j: %j', (route, expected) => {
    const found = outcome(() => checkRules(NetworkSpec.parse({ routes: [route] }), PLACE6));
    expect(String(found).slice(0, String(expected).length)).toBe(String(expected));
    expect(String(outcome(() => checkVmRoutes([route], [PLACE6]))).slice(0, String(expected).length)).toBe(
      String(expected),
    );
  });

  test('there is one to each range', () => {
    const one = { to: '10.0.0.0/8', via: '10.9.0.7' };
    const routes = [one];
    expect(withRoute(routes, one)).toBe(routes);
    expect(outcome(() => withRoute(routes, { ...one, via: '10.9.0.8' }))).toMatch(/^conflict: .* via 10.9.0.7 already/);
    expect(withoutRoute(routes, '10.3.0.0/8')).toEqual([]);
    expect(outcome(() => withoutRoute(routes, '10.0.0.0/9'))).toMatch(/^not-found/);
    expect(outcome(() => checkVmRoutes([one, { to: '10.1.0.0/8', via: '10.9.0.8' }], [PLACE]))).toMatch(
      /two routes to 10.0.0.0\/8/,
    );
    expect(outcome(() => checkVmRoutes([one], []))).toMatch(/^invalid/);
  });

  test('goes out of the NIC that its next hop is behind; the VM’s own is before the network’s', () => {
    const nics = [
      {
        subnet: '10.9.0.0/24',
        address: '10.9.0.10',
        routes: [
          { to: '10.0.0.0/8', via: '10.9.0.7' },
          { to: '10.8.0.0/24', via: '10.9.0.7' },
        ],
      },
      {
        subnet: '10.8.0.0/24',
        address: '10.8.0.10',
        routes: [
          { to: '10.6.0.0/16', via: '10.8.0.10' },
          { to: '10.5.1.1/16', via: '10.8.0.1' },
        ],
      },
    ];
    expect(routesOfNics(nics, [])).toEqual([
      [{ to: '10.0.0.0/8', via: '10.9.0.7' }],
      [{ to: '10.5.0.0/16', via: '10.8.0.1' }],
    ]);
    expect(
      routesOfNics(nics, [
        { to: '10.0.0.0/8', via: '10.8.0.7' },
        { to: '10.4.0.0/16', via: '10.1.0.1' },
      ]),
    ).toEqual([
      [],
      [
        { to: '10.0.0.0/8', via: '10.8.0.7' },
        { to: '10.5.0.0/16', via: '10.8.0.1' },
      ],
    ]);
  });

  test('no range is told twice, and none that a NIC is on', () => {
    const route = fc.record({
      to: fc.integer({ min: 0, max: 12 }),
      nic: fc.integer({ min: 0, max: 3 }),
      host: fc.integer({ min: 1, max: 20 }),
    });
    const routes = fc.array(
      route.map(({ to, nic: at, host }) => ({ to: `10.${to}.0.0/16`, via: `10.${at}.0.${host}` })),
    );
    fc.assert(
      fc.property(routes, fc.array(routes, { minLength: 1, maxLength: 4 }), (own, perNic) => {
        const nics = perNic.map((each, index) => ({
          subnet: `10.${index}.0.0/16`,
          address: `10.${index}.0.2`,
          routes: each,
        }));
        const told = routesOfNics(nics, own).flat();
        const ranges = told.map(({ to }) => to);
        expect(new Set(ranges).size).toBe(ranges.length);
        expect(ranges.filter((to) => nics.some(({ subnet }) => subnet === to))).toEqual([]);
        expect(told.filter(({ via }) => nics.some(({ address }) => address === via))).toEqual([]);
      }),
    );
  });
});

describe('what a network enforces, as text', () => {
  const network: PlannedNetwork = {
    id: 'n1',
    name: 'dev',
    mode: 'nat',
    subnet: '10.9.0.0/24',
    gateway: '10.9.0.1',
    egressSocketPath: '/run/e',
    acl: {
      default: 'deny',
      rules: [
        { id: 1, action: 'allow', from: 'web', to: 'db', protocol: 'tcp', ports: { from: 5432, to: 5432 } },
        { id: 2, action: 'deny', from: 'gone', to: 'any' },
        { id: 4, action: 'deny', from: 'any', to: '10.0.0.0/8', nic: 'web:eth0' },
      ],
    },
    forwards: [{ hostAddress: '127.0.0.1', hostPort: 8080, vm: 'web', guestPort: 80, protocol: 'tcp' }],
    routes: [{ to: '10.0.0.0/8', via: '10.9.0.12' }],
  };
  const planned = (name: string, n: number, more: object = {}): PlannedVm => ({
    id: `id-${name}`,
    name,
    nics: [{ networkId: 'n1', mac: `02:00:00:00:00:0${n}`, address: `10.9.0.1${n}`, socketPath: `/run/${name}` }],
    ...more,
  });
  const host = { addresses: ['192.0.2.1'], resolvers: ['192.0.2.53'] };

  test('golden', () => {
    const vms = [planned('web', 0), planned('db', 1), planned('r1', 2, { role: 'router' })];
    expect(rulesetText(network, vms, host)).toBe(`network dev
  mode nat, user datapath
  subnet 10.9.0.0/24, gateway 10.9.0.1

what each NIC may send from
  db:eth0 02:00:00:00:00:01 10.9.0.11
  r1:eth0 02:00:00:00:00:02 any address: it is a router
  web:eth0 02:00:00:00:00:00 10.9.0.10

never, whatever the rules below say
  drop frames from the MAC of another, ARP and IP from the address of another (a router may send from any)
  drop a guest's answers of DHCP
  drop what is neither IPv4 nor ARP, unless the network has IPv6

rules, the first that fits decides
  1: allow tcp 5432 from web to db (10.9.0.10 -> 10.9.0.11)
  2: deny all from gone to any (fits nothing: a VM that it names is not running)
  4: deny all from any to 10.0.0.0/8 at web:eth0
  deny all else

way out
  through this host, but never to 192.0.2.1, nor to another network of VMs
  names of the outside: 192.0.2.53

forwards
  tcp 127.0.0.1:8080 -> web:80, through its agent

routes that its VMs are told
  10.0.0.0/8 via 10.9.0.12
`);
  });

  test('of a network that leads nowhere', () => {
    const text = rulesetText(
      { ...network, mode: 'isolated', egressSocketPath: undefined, acl: undefined, forwards: [], routes: [] },
      [],
      host,
    );
    expect(text).toContain('no VM is running on it');
    expect(text).toContain('allow all: it has no rules');
    expect(text).toContain('none: names of the outside are refused');
    expect(text).not.toMatch(/forwards|routes/);
  });
});

test('rules come to the switch as addresses, in their order, and never to more than they name', () => {
  const names = ['web', 'db', 'r1', 'away', 'nobody', 'any', '10.0.0.0/8'];
  const rule = fc.record({
    action: fc.constantFrom('allow' as const, 'deny' as const),
    from: fc.constantFrom(...names),
    to: fc.constantFrom(...names),
  });
  const vms = VMS.map(({ id, name, status }) => ({
    id,
    name,
    nics: status.nics.map((each) => ({ ...each, networkId: each.network, socketPath: `/run/${name}` })),
  }));
  fc.assert(
    fc.property(fc.array(rule), (rules) => {
      const acl = withRuleIds({ default: 'deny', rules: rules as AclRule[] });
      const carried = segmentAcl(acl, vms).rules;
      const meant = acl.rules.filter(({ from, to }) => from !== 'nobody' && to !== 'nobody');
      expect(carried.map(({ id }) => id)).toEqual(meant.map(({ id }) => id));
      for (const { id, from, to } of carried) {
        const asked = acl.rules.find((each) => each.id === id);
        expect([from === undefined, to === undefined]).toEqual([asked?.from === 'any', asked?.to === 'any']);
        expect(from).not.toEqual([]);
        expect(to).not.toEqual([]);
      }
    }),
  );
});
