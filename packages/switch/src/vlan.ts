import { LENGTH_BYTES } from './framing.ts';
import { ETHERTYPE_VLAN, readUint16 } from './packets/ethernet.ts';

/**
 * VLANs (IEEE 802.1Q). Inside the switch a frame has no tag, and a VLAN that its port says: there is one place where a
 * tag is believed, the way in from a trunk.
 */

/** The VLAN of ports that name none: the one with the gateway. */
export const UNTAGGED = 0;
/** Of untagged frames on a trunk without a VLAN of its own: they belong nowhere. */
export const NONE = -1;

const MACS_BYTES = 12;
const TAG_BYTES = 4;

/** A bit for each VLAN. */
export type Trunk = Uint32Array;

export function compileTrunk(ranges: readonly { readonly from: number; readonly to: number }[]): Trunk {
  const trunk = new Uint32Array(128);
  for (const { from, to } of ranges)
    for (let vlan = from; vlan <= to; vlan += 1) trunk[vlan >>> 5]! |= 1 << (vlan & 31);
  return trunk;
}

export interface VlanMember {
  readonly vlan: number;
  readonly trunk: Trunk | undefined;
}

/** Whether frames of this VLAN go to the port with a tag. Its own VLAN has none, even if the trunk names it. */
export function isTaggedAt(port: VlanMember, vlan: number): boolean {
  return port.trunk !== undefined && vlan !== port.vlan && ((port.trunk[vlan >>> 5]! >>> (vlan & 31)) & 1) === 1;
}

export function hears(port: VlanMember, vlan: number): boolean {
  return port.vlan === vlan || isTaggedAt(port, vlan);
}

/**
 * The VLAN that a frame on a trunk says it is of: that of its tag, or the port's own. The start is that of the frame.
 * @returns NONE when it is of no VLAN of this port
 */
export function vlanOnTrunk(port: VlanMember, buffer: Buffer, start: number, end: number): number {
  if (!isTagged(buffer, start, end)) return port.vlan;
  // Above the lowest 12 bits are priority and drop eligibility. VLAN 0, "priority only", is in no trunk.
  const vlan = readUint16(buffer, start + MACS_BYTES + 2) & 0xfff;
  return isTaggedAt(port, vlan) ? vlan : NONE;
}

export function isTagged(buffer: Buffer, start: number, end: number): boolean {
  return end - start >= MACS_BYTES + TAG_BYTES && readUint16(buffer, start + MACS_BYTES) === ETHERTYPE_VLAN;
}

/** A copy without its tag; the length before it is right again. `buffer[start..end)` begins with the length. */
export function untag(buffer: Buffer, start: number, end: number): Buffer {
  const copy = Buffer.allocUnsafe(end - start - TAG_BYTES);
  const tagAt = LENGTH_BYTES + MACS_BYTES;
  copy.writeUInt32BE(copy.length - LENGTH_BYTES, 0);
  buffer.copy(copy, LENGTH_BYTES, start + LENGTH_BYTES, start + tagAt);
  buffer.copy(copy, tagAt, start + tagAt + TAG_BYTES, end);
  return copy;
}

/** A copy with a tag. */
export function tag(buffer: Buffer, start: number, end: number, vlan: number): Buffer {
  const copy = Buffer.allocUnsafe(end - start + TAG_BYTES);
  const tagAt = LENGTH_BYTES + MACS_BYTES;
  copy.writeUInt32BE(copy.length - LENGTH_BYTES, 0);
  buffer.copy(copy, LENGTH_BYTES, start + LENGTH_BYTES, start + tagAt);
  copy.writeUInt16BE(ETHERTYPE_VLAN, tagAt);
  copy.writeUInt16BE(vlan, tagAt + 2);
  buffer.copy(copy, tagAt + TAG_BYTES, start + tagAt, end);
  return copy;
}
