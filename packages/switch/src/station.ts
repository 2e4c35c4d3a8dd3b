import type { PortEntry, SegmentTable } from './table.ts';
import { LINK_DOWN, UNANSWERED, VLAN, VERDICT, type Verdict } from './verdict.ts';
import { hears, UNTAGGED } from './vlan.ts';

/** To whom a frame goes by its MAC, when the gateway has nothing to do with it. */
export function toStation(table: SegmentTable, port: PortEntry, station: number, vlan: number): Verdict {
  if (station === table.gatewayMac) return UNANSWERED;
  const to = table.byMac.get(station);
  if (to === undefined) return VERDICT.flood; // a group, or nobody that we know
  if (to === port) return UNANSWERED;
  if (!hears(to, vlan)) return VLAN;
  return to.linkUp ? to.index : LINK_DOWN;
}

/**
 * A router has addresses in the VLANs of its trunk that its NIC was not given: what it says of neighbours there is not checked
 * against those. The gateway is in none of them.
 */
export function isTrunkRouter({ router, trunk, vlan: own }: PortEntry, vlan: number): boolean {
  return router && trunk !== undefined && vlan !== UNTAGGED && vlan !== own;
}
