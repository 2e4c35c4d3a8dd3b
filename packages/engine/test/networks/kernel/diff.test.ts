import * as fc from '@skerry/testkit/properties';
import { describe, expect, it } from 'vitest';
import { kernelPlan } from '../../../src/networks/kernel/plan.ts';
import type { ActualLink, ActualPlace } from '../../../src/networks/kernel/actual-model.ts';
import { diff, isNothing } from '../../../src/networks/kernel/diff-plan.ts';
import type { KernelPlan, Link, Place } from '../../../src/networks/kernel/kernel-model.ts';
import { tableText, type NftTable } from '../../../src/networks/kernel/nft-model.ts';
import { HOST, networkOf, nicOf, vmOf } from './networks.ts';

const NETWORKS = [
  networkOf(0, 'nat', { ipv6: { subnet: 'fd00:50::/64', gateway: 'fd00:50::1' } }),
  networkOf(1, 'isolated'),
  networkOf(2, 'overlay', { vni: 7, peers: ['192.0.2.6', '192.0.2.7'] }),
];
const VMS = [vmOf('web', [nicOf(0, 10, { rateKbit: 20_000 }), nicOf(1, 10)]), vmOf('db', [nicOf(1, 11), nicOf(2, 11)])];
const PLAN = kernelPlan(NETWORKS, VMS, HOST);

/** As `nft -j list table` tells of it. */
function listed(table: NftTable | undefined): unknown {
  if (table === undefined) return undefined;
  const mark = /chain (is_[0-9a-f]+)/.exec(tableText(table))?.[1];
  return {
    nftables: [
      { chain: { name: mark } },
      ...table.chains.flatMap(({ name, rules }) => rules.map(() => ({ rule: { chain: name } }))),
      ...table.sets.map(({ kind, name, elements }) => ({
        [kind]: { name, ...(elements.length > 0 ? { elem: elements } : {}) },
      })),
    ],
  };
}

const KINDS = { bridge: 'bridge', tap: 'tun', ifb: 'ifb', vxlan: 'vxlan' } as const;

function actualLink(link: Link): ActualLink {
  return {
    kind: KINDS[link.kind],
    mac: link.kind === 'bridge' ? link.mac : '',
    mtu: link.kind === 'ifb' ? 1500 : link.mtu,
    isUp: true,
    master: link.kind === 'tap' || link.kind === 'vxlan' ? link.master : undefined,
    addresses: link.kind === 'bridge' ? link.addresses : [],
    filtersIp: link.kind === 'bridge' && link.filtersIp,
    filtersVlans: link.kind === 'bridge' && link.filtersVlans,
    ownVlan: link.kind === 'bridge' ? link.ownVlan : undefined,
  };
}

/** The kernel, once it holds a place as it is wanted. */
function actualPlace({ netns, links, tables }: Place): ActualPlace {
  const rates = links.flatMap((link) =>
    (link.kind === 'tap' || link.kind === 'ifb') && link.queue !== undefined
      ? [[link.name, { queue: link.queue, ingress: link.kind === 'tap' }] as const]
      : [],
  );
  return {
    netns,
    links: new Map(links.map((link) => [link.name, actualLink(link)])),
    flooded: new Map(links.flatMap((link) => (link.kind === 'vxlan' ? [[link.name, link.peers]] : []))),
    queues: new Map(rates),
    vlans: new Map(),
    tables: {
      inet: listed(tables.find(({ family }) => family === 'inet')),
      bridge: listed(tables.find(({ family }) => family === 'bridge')),
    },
  };
}

const EMPTY: ActualPlace = {
  links: new Map(),
  flooded: new Map(),
  queues: new Map(),
  vlans: new Map(),
  tables: { inet: undefined, bridge: undefined },
};
const NOTHING: KernelPlan = {
  places: [{ links: [], tables: [] }],
  relays: [],
  bridges: [],
  servers: [],
  isRouter: false,
};

const linesOf = (plan: KernelPlan, actual: readonly ActualPlace[]): string[] => {
  const { makeNamespaces, places, removeNamespaces } = diff(plan, actual, 'main', '4242');
  return [
    ...makeNamespaces.map((name) => `+ ${name}`),
    ...places.flatMap(({ netns = 'host', nft, ip, bridge, tc }) =>
      [...(nft === '' ? [] : [`nft ${nft.split('\n')[0]}`]), ...[...ip, ...bridge, ...tc]].map(
        (line) => `${netns}: ${line}`,
      ),
    ),
    ...removeNamespaces.map((name) => `- ${name}`),
  ];
};

/** One thing of it that somebody has changed or taken away. */
const DAMAGES: ReadonlyArray<(place: ActualPlace) => ActualPlace | undefined> = [
  (place) => ({ ...place, tables: { ...place.tables, inet: undefined } }),
  (place) => ({ ...place, tables: { ...place.tables, bridge: undefined } }),
  // A rule, and what is in a set.
  ...(['rule', 'set'] as const).map((kind) => (place: ActualPlace) => {
    const { nftables } = place.tables.inet as { nftables: Array<Partial<Record<'rule' | 'set', object>>> };
    const at = nftables.findIndex((each) => each[kind] !== undefined);
    return { ...place, tables: { ...place.tables, inet: { nftables: nftables.toSpliced(at, 1) } } };
  }),
  (place) => {
    const [name] = [...place.links].find(([, { kind }]) => kind === 'bridge')!;
    return { ...place, links: new Map([...place.links].filter(([each]) => each !== name)) };
  },
  ...(['isUp', 'mtu', 'master'] as const).map((field) => (place: ActualPlace) => {
    const values = { isUp: false, mtu: 1400, master: undefined };
    const [name, link] = [...place.links].find(([, { kind }]) => kind === 'tun')!;
    return { ...place, links: new Map([...place.links, [name, { ...link, [field]: values[field] }]]) };
  }),
  (place) => {
    const [name, link] = [...place.links].find(([, { kind }]) => kind === 'bridge')!;
    return { ...place, links: new Map([...place.links, [name, { ...link, addresses: ['192.0.2.1/24'] }]]) };
  },
];

describe('diff', () => {
  const applied = PLAN.places.map(actualPlace);

  it('makes everything from nothing, in rounds', async () => {
    const [own] = PLAN.places.map(actualPlace);
    const taps = new Map(
      PLAN.places.flatMap(({ links }) =>
        links.flatMap((link) =>
          link.kind === 'tap' ? [[link.name, { ...actualLink(link), isUp: false, master: undefined }]] : [],
        ),
      ),
    );
    const first = { ...EMPTY, links: taps as Map<string, ActualLink> };
    const made = PLAN.places.slice(1).map(({ netns }) => ({ ...EMPTY, netns }));
    const text = [
      '== first round: taps are where they were made',
      ...linesOf(PLAN, [first]),
      '== second round: the namespaces are there',
      ...linesOf(
        PLAN,
        [own!, ...made].map((place, index) =>
          index === 0 ? { ...place, links: new Map([...taps, ...place.links]) as never } : place,
        ),
      ),
      '',
    ].join('\n');
    await expect(text).toMatchFileSnapshot('golden/steps-from-nothing.txt');
  });

  it('is nothing when all is as it should be', () => {
    expect(linesOf(PLAN, applied)).toEqual([]);
    expect(isNothing(diff(PLAN, applied, 'main', '4242'))).toBe(true);
  });

  it('repairs what was changed, and nothing else', () => {
    fc.assert(
      fc.property(fc.constantFrom(0, 1), fc.constantFrom(...DAMAGES), (index, damage) => {
        const damaged = applied.map((place, at) => (at === index ? damage(place)! : place));
        const { places, makeNamespaces, removeNamespaces } = diff(PLAN, damaged, 'main', '4242');
        expect(makeNamespaces.length + removeNamespaces.length).toBe(0);
        const busy = places.flatMap(({ nft, ip, bridge, tc }, at) =>
          nft !== '' || ip.length + bridge.length + tc.length > 0 ? [at] : [],
        );
        expect(busy).toEqual([index]);
      }),
    );
  });

  it('gives ports their VLANs before they are up', async () => {
    const vms = [
      vmOf('plain', [nicOf(0, 10)]),
      vmOf('access', [nicOf(0, 11, { vlan: 10 })]),
      vmOf('trunk', [nicOf(0, 12, { trunk: [{ from: 10, to: 20 }] })]),
    ];
    const plan = kernelPlan([networkOf(0, 'nat')], vms, { ...HOST, vlanFiltering: true });
    const [there] = plan.places.map(actualPlace);
    const withTaps = (change: Partial<ActualLink>, vlans: ActualPlace['vlans']): ActualPlace => {
      const isTap = ([, { kind }]: [string, ActualLink]): boolean => kind === 'tun';
      const links = [...there!.links].map((each) => (isTap(each) ? [each[0], { ...each[1], ...change }] : each));
      return { ...there!, links: new Map(links as Array<[string, ActualLink]>), vlans };
    };
    const bridge = plan.places[0]!.links.find(({ kind }) => kind === 'bridge')!.name;
    const own = (tagged: number[], untagged?: number) => ({ untagged, tagged });
    const taps = plan.places[0]!.links.flatMap((link) => (link.kind === 'tap' ? [link] : []));
    const asWanted = new Map(
      taps.map(({ name, vlans }) => {
        const tagged = vlans!.tagged.flatMap(({ from, to }) =>
          Array.from({ length: to - from + 1 }, (_, n) => from + n),
        );
        return [name, own(tagged, vlans!.untagged)];
      }),
    );
    const made = { ...withTaps({ master: undefined, isUp: false }, new Map()) };
    const text = [
      '== taps are there, and plugged in nowhere',
      ...linesOf(plan, [{ ...EMPTY, links: new Map([...made.links].filter(([name]) => name !== bridge)) }]),
      '== they are in the bridge, with their VLANs, and down',
      ...linesOf(plan, [withTaps({ isUp: false }, asWanted)]),
      '== all is as it should be',
      ...linesOf(plan, [withTaps({}, asWanted)]),
      '== somebody has put one into a VLAN more',
      ...linesOf(plan, [withTaps({}, new Map([...asWanted, [taps[0]!.name, own([99], 4094)]]))]),
      '== the network gets an access list: ports leave before the bridge stops to filter',
      ...linesOf(
        kernelPlan([networkOf(0, 'nat', { acl: { default: 'deny', rules: [] } })], vms, {
          ...HOST,
          vlanFiltering: true,
        }),
        [{ ...withTaps({}, asWanted), tables: there!.tables }],
      ).filter((line) => !line.startsWith('host: nft')),
      '',
    ].join('\n');
    await expect(text).toMatchFileSnapshot('golden/steps-of-vlans.txt');
  });

  it("takes everything away, but for taps, which are their VMs'", () => {
    const lines = linesOf(NOTHING, applied);
    const own = PLAN.places[0]!.links;
    expect(lines.filter((line) => line.includes('link del')).toSorted()).toEqual(
      own
        .filter(({ kind }) => kind === 'bridge' || kind === 'ifb')
        .map(({ name }) => `host: link del dev ${name}`)
        .toSorted(),
    );
    expect(lines.filter((line) => line.startsWith('-'))).toHaveLength(2);
    expect(lines.filter((line) => line.includes('nomaster'))).toHaveLength(1);
  });

  it('does not wait for a tap whose VM does not run', () => {
    const without = applied.map((place) => ({
      ...place,
      links: new Map([...place.links].filter(([, { kind }]) => kind !== 'tun' && kind !== 'ifb')),
    }));
    expect(linesOf(PLAN, without)).toEqual([]);
  });
});
