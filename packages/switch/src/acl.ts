import { parseCidr } from './address.ts';
import { parseCidr6 } from './address6.ts';
import type { SegmentAcl, SegmentAclRule } from './config.ts';
import { KIND, PORTS, protocolOf, versionOf } from './flow.ts';
import { PROTOCOL_ICMP, PROTOCOL_TCP, PROTOCOL_UDP } from './packets/ipv4.ts';
import { PROTOCOL_ICMPV6 } from './packets/ipv6.ts';

/** A segment's ACL, turned into numbers once a sync. Pure: it looks at keys of flows and remembers nothing. */

/** Numbers that stand for ports; the gateway and what lies behind it is 0. */
export type PortNumbers = ReadonlyMap<string, number>;
export const BEYOND = 0;

interface Range {
  readonly version: 4 | 6;
  readonly base: Uint32Array;
  readonly mask: Uint32Array;
}

interface Rule {
  readonly allow: boolean;
  readonly from: readonly Range[] | undefined;
  readonly to: readonly Range[] | undefined;
  readonly protocols: readonly number[] | undefined;
  readonly firstPort: number;
  /** -1: any. */
  readonly lastPort: number;
  readonly port: number | undefined;
}

const PROTOCOLS = {
  tcp: [PROTOCOL_TCP],
  udp: [PROTOCOL_UDP],
  icmp: [PROTOCOL_ICMP, PROTOCOL_ICMPV6],
} as const;

/** Of a port that is not there: no port has it. */
const NOBODY = -1;

export class Acl {
  readonly #rules: readonly Rule[];
  readonly #otherwise: boolean;

  /** @param acl a checked one */
  constructor(acl: SegmentAcl, numbers: PortNumbers) {
    this.#rules = acl.rules.map((rule) => compileRule(rule, numbers));
    this.#otherwise = acl.default === 'allow';
  }

  /** The first rule that fits decides. @param from number of the port that the packet comes from; `to`: goes to */
  allows(key: Uint32Array, from: number, to: number): boolean {
    for (const rule of this.#rules) if (fits(rule, key, from, to)) return rule.allow;
    return this.#otherwise;
  }
}

function compileRule(rule: SegmentAclRule, numbers: PortNumbers): Rule {
  const ported = rule.ports === undefined ? undefined : [PROTOCOL_TCP, PROTOCOL_UDP];
  return {
    allow: rule.action === 'allow',
    from: rule.from?.map(compileRange),
    to: rule.to?.map(compileRange),
    protocols: rule.protocol === undefined ? ported : PROTOCOLS[rule.protocol],
    firstPort: rule.ports?.from ?? 0,
    lastPort: rule.ports?.to ?? -1,
    port: rule.portId === undefined ? undefined : (numbers.get(rule.portId) ?? NOBODY),
  };
}

function compileRange(text: string): Range {
  const cidr = parseCidr(text);
  if (cidr !== undefined) {
    return { version: 4, base: Uint32Array.of(0, 0, 0, cidr.base), mask: Uint32Array.of(0, 0, 0, cidr.mask) };
  }
  const { base, mask } = parseCidr6(text)!;
  return { version: 6, base: Uint32Array.from(base), mask: Uint32Array.from(mask) };
}

function fits(rule: Rule, key: Uint32Array, from: number, to: number): boolean {
  if (rule.port !== undefined && rule.port !== from && rule.port !== to) return false;
  const kind = key[KIND]!;
  if (rule.protocols !== undefined && !rule.protocols.includes(protocolOf(kind))) return false;
  if (rule.lastPort >= 0) {
    const port = key[PORTS]! & 0xffff;
    if (port < rule.firstPort || port > rule.lastPort) return false;
  }
  const version = versionOf(kind);
  return isIn(rule.from, version, key, 0) && isIn(rule.to, version, key, 4);
}

function isIn(ranges: readonly Range[] | undefined, version: number, key: Uint32Array, at: number): boolean {
  if (ranges === undefined) return true;
  for (const { version: own, base, mask } of ranges) {
    if (own !== version) continue;
    let word = 3;
    while (word >= 0 && (key[at + word]! & mask[word]!) >>> 0 === base[word]) word -= 1;
    if (word < 0) return true;
  }
  return false;
}
