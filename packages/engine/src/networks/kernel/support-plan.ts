import {
  SkerryError,
  type DoctorItem,
  type HostFeatureId,
  type HostInfo,
  type Impairment,
  type NetworkSpec,
  type Nic,
} from '@skerry/api';
import type { PlannedNetwork, PlannedVm } from '../plan.ts';
import { hasAcl } from './acl-plan.ts';
import { needsNetem } from './queue-plan.ts';
import { OWN_VLAN } from './vlan-plan.ts';

/** What of the kernel datapath this host can do. Pure: from what was probed. */

export interface KernelSupport {
  /** Why there can be no bridge of ours, and what to do about it; undefined: there can. */
  readonly lack: { readonly reason: string; readonly remedy: string } | undefined;
  readonly vlanFiltering: boolean;
  readonly vxlan: boolean;
  readonly tbf: boolean;
  readonly netem: boolean;
  /** netem draws the same again from the same seed. */
  readonly netemSeed: boolean;
  /** What guests send can be made to wait. */
  readonly ifb: boolean;
  readonly vhost: boolean;
  /** Frames of a bridge can pass the filters for what is routed. */
  readonly bridgeFilters: boolean;
}

type Facts = Pick<HostInfo, 'uid' | 'features' | 'tools'>;

const TOOLS = ['ip', 'nft', 'tc', 'bridge', 'dnsmasq'];
const FEATURES: ReadonlyArray<readonly [HostFeatureId, string]> = [
  ['tap', 'modprobe tun'],
  ['bridge', 'modprobe bridge'],
  ['nftables', 'modprobe nf_tables'],
];

export function kernelSupport(facts: Facts): KernelSupport {
  const has = (id: HostFeatureId): boolean => facts.features.some((one) => one.id === id && one.state === 'yes');
  return {
    lack: lackOf(facts, has),
    vlanFiltering: has('vlan-filtering'),
    vxlan: has('vxlan'),
    tbf: has('tbf'),
    netem: has('netem'),
    netemSeed: has('netem-seed'),
    ifb: has('ifb'),
    vhost: has('vhost-net'),
    bridgeFilters: has('bridge-filters'),
  };
}

function lackOf({ uid, tools, features }: Facts, has: (id: HostFeatureId) => boolean): KernelSupport['lack'] {
  if (uid !== 0)
    return { reason: 'the daemon is not root', remedy: "Use the system's daemon: sudo skerry daemon start" };
  const missing = tools.filter(({ name, path }) => TOOLS.includes(name) && path === undefined);
  if (missing.length > 0) {
    return {
      reason: `${missing.map(({ name }) => name).join(', ')} ${missing.length === 1 ? 'is' : 'are'} not installed`,
      remedy: `apt-get install ${[...new Set(missing.map((tool) => tool.package))].join(' ')}`,
    };
  }
  const feature = FEATURES.find(([id]) => !has(id));
  if (feature === undefined) return undefined;
  const found = features.find(({ id }) => id === feature[0])?.found ?? 'not probed';
  return { reason: `the kernel has no ${feature[0]}: ${found}`, remedy: `${feature[1]}, then skerry host doctor.` };
}

export function kernelDoctorItem({ lack }: KernelSupport): DoctorItem {
  const base = { id: 'kernel-datapath', title: 'Networks in the kernel' };
  if (lack !== undefined) {
    const consequence = 'No network is bridged or an overlay; the others are carried by the switch in user space.';
    return { ...base, state: 'limited', found: lack.reason, consequence, remedy: lack.remedy };
  }
  return { ...base, state: 'ok', found: 'all it needs is there', consequence: 'Networks can be --datapath kernel.' };
}

const OTHER_DATAPATH = 'a network of the user datapath, which needs nothing of the kernel.';

/** @throws SkerryError `unsupported` when no network of these fields can be in the kernel of this host */
export function assertSupported({ mode, acl }: Pick<NetworkSpec, 'mode' | 'acl'>, support: KernelSupport): void {
  const { lack, vxlan, bridgeFilters } = support;
  if (lack !== undefined) throw unsupported(lack.reason, lack.remedy);
  if (mode === 'link') throw unsupported('a link is not made of bridges', 'Leave --datapath kernel out.');
  if (mode === 'overlay' && !vxlan) throw unsupported('the kernel has no VXLAN', 'modprobe vxlan');
  if (hasAcl({ acl }) && !bridgeFilters) {
    const remedy = `modprobe br_netfilter, then skerry host doctor. Or use ${OTHER_DATAPATH}`;
    throw unsupported("the kernel can't filter between the ports of a bridge", remedy);
  }
}

/**
 * @param of the network that it is on
 * @throws SkerryError `unsupported` when this is not to be had of a NIC on the kernel datapath of this host
 */
export function assertNicSupported(
  { vlan, trunk, rateKbit }: Pick<Nic, 'vlan' | 'trunk' | 'rateKbit'>,
  of: Pick<NetworkSpec, 'acl'>,
  support: KernelSupport,
): void {
  if (trunk !== undefined && !support.vlanFiltering)
    throw unsupported("a bridge of this kernel can't carry VLANs with their tags", `Use ${OTHER_DATAPATH}`);
  if (trunk !== undefined && hasAcl(of)) throw trunkBesideAcl();
  const usesOwn = vlan === OWN_VLAN || trunk?.some(({ to }) => to >= OWN_VLAN) === true;
  if (usesOwn && support.vlanFiltering)
    throw unsupported(
      `NICs without a VLAN are in ${OWN_VLAN}`,
      `Choose from 1 to ${OWN_VLAN - 1}. Or use ${OTHER_DATAPATH}`,
    );
  if (rateKbit !== undefined) assertQueue('tbf', support);
}

/** @throws SkerryError `unsupported`: a network gets rules that what a trunk carries would not be asked about */
export function assertNoTrunks(nics: ReadonlyArray<Pick<Nic, 'trunk'>>): void {
  if (nics.some(({ trunk }) => trunk !== undefined)) throw trunkBesideAcl();
}

function trunkBesideAcl(): SkerryError {
  return unsupported("an access list does not see what a trunk's tags are on", `Use ${OTHER_DATAPATH}`);
}

/**
 * @param impairments of NICs, each with whether it was asked to be the same again
 * @throws SkerryError `unsupported`: this kernel can't do it
 */
export function assertImpairable(
  impairments: ReadonlyArray<{ readonly impairment: Impairment; readonly isSeeded: boolean }>,
  support: KernelSupport,
): void {
  for (const { impairment, isSeeded } of impairments) {
    assertQueue(needsNetem(impairment) ? 'netem' : 'tbf', support);
    if (isSeeded && needsNetem(impairment) && !support.netemSeed)
      throw unsupported(
        'its netem takes no seed (Linux 6.6 and iproute2 6.6 do)',
        `Leave the seed out. Or use ${OTHER_DATAPATH}`,
      );
  }
}

/** A store may come from another host. @throws SkerryError `unsupported` */
export function assertNicsSupported(
  networks: readonly PlannedNetwork[],
  vms: readonly PlannedVm[],
  support: KernelSupport,
): void {
  const ids = new Set(networks.map(({ id }) => id));
  for (const { networkId, impairments = [] } of vms.flatMap(({ nics }) => nics)) {
    if (!ids.has(networkId)) continue;
    const each = impairments.flatMap((one) => [one.in ?? [], one.out ?? []].flat());
    assertImpairable(
      each.map((impairment) => ({ impairment, isSeeded: false })),
      support,
    );
  }
}

const QUEUES = {
  netem: { lack: 'the kernel has no netem', remedy: 'modprobe sch_netem' },
  tbf: { lack: 'the kernel limits no rates', remedy: 'modprobe sch_tbf' },
} as const;

function assertQueue(kind: keyof typeof QUEUES, support: KernelSupport): void {
  const { lack, remedy } = QUEUES[kind];
  if (!support[kind]) throw unsupported(lack, `${remedy}, then skerry host doctor. Or use ${OTHER_DATAPATH}`);
  if (!support.ifb)
    throw unsupported(
      'what guests send can not wait (no ifb)',
      `modprobe ifb, then skerry host doctor. Or use ${OTHER_DATAPATH}`,
    );
}

function unsupported(why: string, remedy: string): SkerryError {
  return new SkerryError('unsupported', `The kernel datapath can't do it here: ${why}`, { remedy });
}
