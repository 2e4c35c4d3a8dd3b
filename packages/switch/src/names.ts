import { formatIpv4, inCidr, parseIpv4 } from './address.ts';
import { formatIpv6, inCidr6 } from './address6.ts';
import {
  addressOfReverseName,
  addressOfReverseName6,
  dnsReply,
  RCODE,
  TYPE_A,
  TYPE_AAAA,
  TYPE_ANY,
  TYPE_PTR,
  type DnsQuery,
  type DnsRecord,
} from './packets/dns.ts';
import type { SegmentTable } from './table.ts';

/**
 * What the gateway answers to a question for a name. A resolver asks the first of its servers and believes it when there is no
 * such name (resolv.conf(5)), so each server knows the names of all networks that the asker is on, and of no others. Pure.
 */

/** Another network of the asker's VM. */
export interface OtherNetwork {
  /** Undefined: it is not in this switch, and has a server of its own. */
  readonly table: SegmentTable | undefined;
  readonly domain: string | undefined;
}

/** @returns our answer, or `forward` when the name is for others to know */
export function answerDns(
  table: SegmentTable,
  query: DnsQuery,
  message: Buffer,
  others: readonly OtherNetwork[] = [],
): Buffer | 'forward' {
  const tables = [table, ...others.flatMap((other) => other.table ?? [])];
  const named = tables.find(({ names }) => names.has(query.name));
  if (named !== undefined) return dnsReply(query, message, recordsOf(named, query));
  for (const each of tables) {
    const reverse = ownReverse(each, query.name);
    if (reverse === undefined) continue;
    const name = each.reverse.get(reverse);
    if (name === undefined) return noSuchName(query, message);
    const records = query.type === TYPE_PTR || query.type === TYPE_ANY ? [{ type: TYPE_PTR, name } as const] : [];
    return dnsReply(query, message, { rcode: RCODE.ok, records, authoritative: true });
  }
  const isPlain = query.name !== '' && !query.name.includes('.');
  const isOf = (domain: string | undefined): boolean =>
    domain !== undefined && (query.name === domain || query.name.endsWith(`.${domain}`));
  // Refused, a resolver asks the next of its servers: that of the other network.
  const elsewhere = others.filter((other) => other.table === undefined);
  if (elsewhere.some(({ domain }) => isPlain || isOf(domain))) return refused(query, message);
  // A name without a dot is a machine of the segment or nothing: it is not told to the outside.
  if (isPlain || tables.some(({ domain }) => isOf(domain))) return noSuchName(query, message);
  return table.upstreamDns.length > 0 ? 'forward' : refused(query, message);
}

/** Any other type of a name that exists: no error and no record (RFC 2308 section 2.2), so that no one waits for it. */
function recordsOf({ names, names6 }: SegmentTable, { name, type }: DnsQuery) {
  const any = type === TYPE_ANY;
  const records: DnsRecord[] = [];
  if (any || type === TYPE_A) {
    records.push(...(names.get(name) ?? []).map((address) => ({ type: TYPE_A, address }) as const));
  }
  if (any || type === TYPE_AAAA) {
    records.push(...(names6.get(name) ?? []).map((address) => ({ type: TYPE_AAAA, address }) as const));
  }
  return { rcode: RCODE.ok, records, authoritative: true };
}

/** @returns the address that the name stands for, if it is in the segment */
function ownReverse(table: SegmentTable, name: string): string | undefined {
  const address = parseIpv4(addressOfReverseName(name) ?? '');
  if (address !== undefined && inCidr(table.subnet, address)) return formatIpv4(address);
  const address6 = addressOfReverseName6(name);
  if (address6 === undefined || table.ipv6 === undefined || !inCidr6(table.ipv6.prefix, address6)) return undefined;
  return formatIpv6(address6);
}

function noSuchName(query: DnsQuery, message: Buffer): Buffer {
  return dnsReply(query, message, { rcode: RCODE.noSuchName, authoritative: true });
}

function refused(query: DnsQuery, message: Buffer): Buffer {
  return dnsReply(query, message, { rcode: RCODE.refused });
}
