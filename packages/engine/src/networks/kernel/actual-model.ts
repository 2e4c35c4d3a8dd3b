import { readQueue, type Queue } from './queue-plan.ts';

/** What the kernel holds now, read from what `ip -j`, `bridge -j`, `tc -j` and `nft -j` print. Pure. */

export interface ActualPlace {
  readonly netns?: string | undefined;
  /** Those of ours. */
  readonly links: ReadonlyMap<string, ActualLink>;
  /** By interface: destinations of what is for nobody in particular. */
  readonly flooded: ReadonlyMap<string, readonly string[]>;
  /** By interface: its queue, if it is of a kind that we make, and whether what comes in is led elsewhere. */
  readonly queues: ReadonlyMap<string, { readonly queue?: Queue | undefined; readonly ingress: boolean }>;
  /** By port of a bridge that filters. */
  readonly vlans: ReadonlyMap<string, ActualVlans>;
  /** What `nft -j list table` says; undefined: no such table. */
  readonly tables: Readonly<Record<'inet' | 'bridge', unknown>>;
}

export interface ActualVlans {
  /** Of frames without a tag. */
  readonly untagged?: number | undefined;
  readonly tagged: readonly number[];
}

export interface ActualLink {
  readonly kind: string;
  readonly mac: string;
  readonly mtu: number;
  readonly isUp: boolean;
  readonly master?: string | undefined;
  /** Those that somebody gave it, with their prefix. */
  readonly addresses: readonly string[];
  readonly filtersIp: boolean;
  readonly filtersVlans: boolean;
  /** That of new ports, and of the bridge itself. */
  readonly ownVlan?: number | undefined;
  readonly vni?: number | undefined;
}

interface IpLink {
  readonly ifname: string;
  readonly flags: readonly string[];
  readonly mtu: number;
  readonly address?: string;
  readonly master?: string;
  readonly linkinfo?: { readonly info_kind?: string; readonly info_data?: Record<string, unknown> };
  readonly addr_info?: ReadonlyArray<{ readonly local?: string; readonly prefixlen?: number; readonly scope?: string }>;
}

/** `ip -j -d address show` */
export function readLinks(output: unknown, prefix: string): Map<string, ActualLink> {
  const links = (output as IpLink[]).filter(({ ifname }) => ifname?.startsWith(prefix));
  return new Map(
    links.map((link) => {
      const data = link.linkinfo?.info_data ?? {};
      return [
        link.ifname,
        {
          kind: link.linkinfo?.info_kind ?? '',
          mac: link.address ?? '',
          mtu: link.mtu,
          isUp: link.flags.includes('UP'),
          master: link.master,
          addresses: (link.addr_info ?? [])
            .filter(({ scope }) => scope !== 'link')
            .map(({ local, prefixlen }) => `${local}/${prefixlen}`),
          filtersIp: data['nf_call_iptables'] === 1 && data['nf_call_ip6tables'] === 1,
          filtersVlans: data['vlan_filtering'] === 1,
          ownVlan: typeof data['vlan_default_pvid'] === 'number' ? data['vlan_default_pvid'] : undefined,
          vni: typeof data['id'] === 'number' ? data['id'] : undefined,
        },
      ];
    }),
  );
}

interface Qdisc {
  readonly kind: string;
  readonly dev: string;
  readonly root?: boolean;
  readonly options?: object;
}

/** `tc -j qdisc show` */
export function readQueues(output: unknown, prefix: string): ActualPlace['queues'] {
  const queues = new Map<string, { queue?: Queue | undefined; ingress: boolean }>();
  for (const { kind, dev, root, options } of output as Qdisc[]) {
    if (!dev?.startsWith(prefix)) continue;
    const queue = queues.get(dev) ?? { ingress: false };
    if (kind === 'ingress') queue.ingress = true;
    if (root === true) queue.queue = readQueue(kind, options);
    queues.set(dev, queue);
  }
  return queues;
}

export const ANYBODY = '00:00:00:00:00:00';

/** `bridge -j fdb show` */
export function readFlooded(output: unknown): ActualPlace['flooded'] {
  const flooded = new Map<string, string[]>();
  for (const { mac, ifname, dst } of output as Array<{ mac: string; ifname: string; dst?: string }>) {
    if (mac !== ANYBODY || dst === undefined) continue;
    flooded.set(ifname, [...(flooded.get(ifname) ?? []), dst].sort());
  }
  return flooded;
}

interface BridgeVlans {
  readonly ifname: string;
  readonly vlans?: ReadonlyArray<{ vlan: number; vlanEnd?: number; flags?: readonly string[] }>;
}

/** `bridge -j vlan show` */
export function readVlans(output: unknown): ActualPlace['vlans'] {
  return new Map(
    (output as BridgeVlans[]).map(({ ifname, vlans = [] }) => [
      ifname,
      {
        untagged: vlans.find(({ flags }) => flags?.includes('PVID'))?.vlan,
        tagged: vlans
          .filter(({ flags }) => flags?.includes('PVID') !== true)
          .flatMap(({ vlan, vlanEnd = vlan }) => Array.from({ length: vlanEnd - vlan + 1 }, (_, n) => vlan + n)),
      },
    ]),
  );
}
