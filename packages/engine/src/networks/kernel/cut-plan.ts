import { portId } from '../plan.ts';
import { quoted } from './nft-model.ts';
import type { NftChain } from './nft-model.ts';
import type { NicPlace, PlacedNic, PlannedPlace } from './places-plan.ts';

/**
 * What is cut: cables that are out, and groups of VMs that do not reach each other. Each rule knows its own end, by the clock of
 * the kernel, so it ends whoever asked for it; whole seconds are all that nft(8) takes (`meta time`, Linux 5.4). Pure.
 */

/** Before and after everything else, so that nothing gets past. */
const FIRST = -301;
const LAST = 301;
/**
 * Before br_netfilter, whose own forward hook lies at 0, takes IP packets away and goes on behind 0 (NF_BR_PRI_BRNF, br_nf_hook_thresh(),
 * net/bridge/br_netfilter_hooks.c, Linux 6.18): which of two at 0 comes first depends on which came last.
 */
const BEFORE_BR_NETFILTER = -1;

/** None when nothing is cut. */
export function cutChains({ networks }: PlannedPlace): NftChain[] {
  const cables = networks.flatMap(({ nics }) => nics).flatMap((nic) => cablesOut(nic).map((when) => ({ nic, when })));
  const rules = (which: 'iifname' | 'oifname'): string[] =>
    cables.map(({ nic, when }) => `${when}${which} ${quoted(nic.tap)} drop`);
  const parted = networks.flatMap(partedRules);
  return [
    ...(cables.length === 0
      ? []
      : [
          { name: 'cut_from', hook: base('prerouting', FIRST), rules: rules('iifname') },
          { name: 'cut_to', hook: base('postrouting', LAST), rules: rules('oifname') },
        ]),
    ...(parted.length === 0 ? [] : [{ name: 'parted', hook: base('forward', BEFORE_BR_NETFILTER), rules: parted }]),
  ];
}

function base(hook: string, priority: number): string {
  return `type filter hook ${hook} priority ${priority}; policy accept;`;
}

/** What each rule for it begins with. */
function cablesOut({ nic }: PlacedNic): string[] {
  if (nic.linkUp === false) return [''];
  return (nic.impairments ?? []).filter(({ down }) => down === true).map(({ untilMs }) => until(untilMs));
}

/** Of each group to all others that it names: whom no group has is reached by all. */
function partedRules({ network, nics }: NicPlace): string[] {
  const tapOf = new Map(nics.map(({ vm, index, tap }) => [portId(vm, index), tap]));
  return (network.partitions ?? []).flatMap(({ groups, untilMs }) => {
    const taps = groups.map((group) => group.flatMap((port) => tapOf.get(port) ?? []).toSorted());
    return taps.flatMap((own, place) => {
      const others = taps.flatMap((each, other) => (other === place ? [] : each)).toSorted();
      if (own.length === 0 || others.length === 0) return [];
      return [`${until(untilMs)}iifname { ${list(own)} } oifname { ${list(others)} } drop`];
    });
  });
}

function list(taps: readonly string[]): string {
  return taps.map(quoted).join(', ');
}

function until(untilMs: number | undefined): string {
  return untilMs === undefined ? '' : `meta time < ${Math.ceil(untilMs / 1000)} `;
}
