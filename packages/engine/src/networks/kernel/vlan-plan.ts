import type { VlanRange } from '@skerry/api';
import type { ActualVlans } from './actual-model.ts';
import type { PortVlans } from './kernel-model.ts';

/** VLANs of ports of a bridge that filters (bridge(8), "bridge vlan"). Pure. */

/**
 * Where NICs without a VLAN, the gateway and tunnels are. Frames of such a bridge are all of one, and the kernel's own choice, 1, is
 * one that a NIC may ask for.
 */
export const OWN_VLAN = 4094;

/** Of a NIC. A trunk without a VLAN of its own takes no frames without a tag. */
export function portVlans(vlan: number | undefined, trunk: readonly VlanRange[] | undefined): PortVlans {
  if (trunk === undefined) return { untagged: vlan ?? OWN_VLAN, tagged: [] };
  return { untagged: vlan, tagged: trunk };
}

/** As each port begins. */
export const NEW_PORT: ActualVlans = { untagged: OWN_VLAN, tagged: [] };

export function isVlans({ untagged, tagged }: PortVlans, found: ActualVlans): boolean {
  const wanted = expanded(tagged, untagged);
  return (
    untagged === found.untagged &&
    wanted.size === found.tagged.length &&
    found.tagged.every((vlan: number) => wanted.has(vlan))
  );
}

/** Lines for `bridge -batch`. What it has no business in goes first. */
export function vlanLines(name: string, wanted: PortVlans, found: ActualVlans): string[] {
  const tagged = expanded(wanted.tagged, wanted.untagged);
  const all = [...found.tagged, ...(found.untagged === undefined ? [] : [found.untagged])];
  const surplus = all.filter((vlan) => vlan !== wanted.untagged && !tagged.has(vlan));
  const missing = [...tagged].filter((vlan) => !found.tagged.includes(vlan));
  return [
    ...rangesOf(surplus).map((range) => `vlan del dev ${name} vid ${range}`),
    ...rangesOf(missing).map((range) => `vlan add dev ${name} vid ${range}`),
    ...(wanted.untagged === undefined || wanted.untagged === found.untagged
      ? []
      : [`vlan add dev ${name} vid ${wanted.untagged} pvid untagged`]),
  ];
}

/** Its own VLAN has no tag, even if the trunk names it. */
function expanded(ranges: readonly VlanRange[], untagged: number | undefined): Set<number> {
  const all = ranges.flatMap(({ from, to }) => Array.from({ length: to - from + 1 }, (_, n) => from + n));
  return new Set(all.filter((vlan) => vlan !== untagged));
}

/** [10, 11, 12, 20] -> ['10-12', '20'] */
function rangesOf(vlans: readonly number[]): string[] {
  const ranges: Array<{ from: number; to: number }> = [];
  for (const vlan of vlans.toSorted((a, b) => a - b)) {
    const last = ranges.at(-1);
    if (last !== undefined && vlan === last.to + 1) last.to = vlan;
    else ranges.push({ from: vlan, to: vlan });
  }
  return ranges.map(({ from, to }) => (from === to ? `${from}` : `${from}-${to}`));
}
