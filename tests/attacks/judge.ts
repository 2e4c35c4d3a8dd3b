import type { Cast } from '../../packages/switch/test/attacks.ts';

/** What a frame that somebody has heard says about an attack. Pure. */

const ETHERTYPE = { ipv4: 0x0800, arp: 0x0806, ipv6: 0x86dd } as const;
const ICMPV6 = 58;
const HOP_BY_HOP = 0;
/**
 * By type their codes: no way there, nobody there, or forbidden (RFC 1812 section 5.2.7.1, RFC 4443 section 3.1); and a redirect,
 * which says that whoever is asked for is to be found on the very network (RFC 792).
 */
const REFUSALS = new Map([
  [3, [0, 1, 9, 10, 13]],
  [5, [0, 1]],
  [1, [0, 1]],
]);

/** What guests and gateways say unasked: ARP, who listens to which group, where neighbours are. */
export function isChatter(frame: Buffer): boolean {
  const type = frame.readUInt16BE(12);
  if (type === ETHERTYPE.arp) return true;
  if (type === ETHERTYPE.ipv4) return frame[23] === 2; // IGMP
  const icmp = icmp6At(frame);
  if (icmp === undefined) return false;
  const kind = frame[icmp]!;
  return (kind >= 130 && kind <= 136) || kind === 143;
}

/** Whether somebody who is no VM answers with it. Questions of his, and a refusal that says so, are no answers. */
export function isAnswer(frame: Buffer, vms: ReadonlySet<string>): boolean {
  if (vms.has(frame.toString('hex', 6, 12))) return false;
  const type = frame.readUInt16BE(12);
  if (type === ETHERTYPE.arp) return frame.readUInt16BE(20) === 2;
  if (type === ETHERTYPE.ipv4) {
    const at = 14 + (frame[14]! & 15) * 4;
    return frame[23] !== 1 || !(REFUSALS.get(frame[at]!) ?? []).includes(frame[at + 1]!);
  }
  const icmp = icmp6At(frame);
  if (icmp === undefined) return true;
  const [kind, code] = [frame[icmp]!, frame[icmp + 1]!];
  const isQuestion = kind === 133 || kind === 135 || (kind >= 130 && kind <= 132) || kind === 143;
  return !isQuestion && !(kind === 1 && REFUSALS.get(1)!.includes(code));
}

/** Of what an honest guest sends to the outside: whether it is there. The way out may have put its own address and port in. */
export function isSentOn(frame: Buffer, sent: Buffer, { outside }: Pick<Cast, 'outside'>): boolean {
  if (frame.readUInt16BE(12) !== ETHERTYPE.ipv4 || frame[23] !== sent[23]) return false;
  const to = [...frame.subarray(30, 34)].join('.');
  return to === outside && frame.readUInt16BE(36) === sent.readUInt16BE(36);
}

/** Some drivers fill a short frame up. */
export function isSame(heard: Buffer, sent: Buffer): boolean {
  return heard.length >= sent.length && heard.subarray(0, sent.length).equals(sent);
}

/** To a group: whoever is in the network may hear it. */
export function isForGroup(frame: Buffer): boolean {
  return (frame[0]! & 1) === 1;
}

export function describe(frame: Buffer): string {
  const mac = (at: number): string => (frame.toString('hex', at, at + 6).match(/../g) ?? []).join(':');
  return `${mac(6)} > ${mac(0)} ${frame.toString('hex', 12)}`;
}

/** Where ICMPv6 begins, also behind what listeners' reports are behind (RFC 3810 section 5). */
function icmp6At(frame: Buffer): number | undefined {
  if (frame.readUInt16BE(12) !== ETHERTYPE.ipv6 || frame.length < 62) return undefined;
  if (frame[20] === ICMPV6) return 54;
  return frame[20] === HOP_BY_HOP && frame[54] === ICMPV6 ? 54 + 8 * (1 + frame[55]!) : undefined;
}
