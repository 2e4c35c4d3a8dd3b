import type { NetworkSpec } from '@skerry/api';
import type { SegmentAclRule } from '@skerry/switch';
import { segmentAcl } from '../acl-plan.ts';
import { portId } from '../plan.ts';
import { hash } from './names-model.ts';
import type { NftChain } from './nft-model.ts';
import type { NicPlace } from './places-plan.ts';

/** A network's access list as a chain: what it lets through returns to whoever asked, the rest is dropped. Pure. */

export function hasAcl({ acl }: Pick<NetworkSpec, 'acl'>): boolean {
  return acl !== undefined && (acl.default === 'deny' || acl.rules.length > 0);
}

export function aclName({ network }: NicPlace): string {
  return `acl_${hash(network.id)}`;
}

export function aclChain(planned: NicPlace): NftChain {
  const acl = segmentAcl(planned.network.acl ?? { default: 'allow', rules: [] }, planned.vms);
  return {
    name: aclName(planned),
    rules: [
      // Without its neighbours' addresses no packet leaves a guest.
      'icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } return',
      ...acl.rules.flatMap((rule) => ruleLines(planned, rule)),
      ...(acl.default === 'deny' ? ['drop'] : []),
    ],
  };
}

/** Addresses of one end; undefined: any. */
type End = readonly string[] | undefined;

function ruleLines(planned: NicPlace, rule: SegmentAclRule): string[] {
  if (rule.portId === undefined) return lines(rule, undefined, 'saddr');
  // Where packets are filtered a bridge does not tell its ports apart: their addresses do, which nobody else may use.
  const own = planned.nics
    .filter(({ vm, index }) => portId(vm, index) === rule.portId)
    .flatMap(({ nic }) => [nic.address, ...(nic.address6 === undefined ? [] : [nic.address6])]);
  return own.length === 0 ? [] : [...lines(rule, own, 'saddr'), ...lines(rule, own, 'daddr')];
}

function lines(rule: SegmentAclRule, own: End, ownIs: 'saddr' | 'daddr'): string[] {
  const verdict = rule.action === 'allow' ? 'return' : 'drop';
  if (rule.from === undefined && rule.to === undefined && own === undefined) {
    return [[...protocolMatch(rule, undefined), verdict].join(' ')];
  }
  return (['ip', 'ip6'] as const).flatMap((family) => {
    const ends = [matchOf(family, 'saddr', rule.from), matchOf(family, 'daddr', rule.to), matchOf(family, ownIs, own)];
    // An end that has no address of this family: nothing of it can fit.
    if (ends.includes(undefined)) return [];
    return [[...ends.filter((each) => each !== ''), ...protocolMatch(rule, family), verdict].join(' ')];
  });
}

function matchOf(family: 'ip' | 'ip6', field: 'saddr' | 'daddr', end: End): string | undefined {
  if (end === undefined) return '';
  const addresses = end.filter((address) => address.includes(':') === (family === 'ip6'));
  return addresses.length === 0 ? undefined : `${family} ${field} { ${addresses.join(', ')} }`;
}

/** By number: its name is in /etc/protocols, which small hosts do not have (Debian: netbase). */
const ICMP = { ip: 'icmp', ip6: '58' } as const;

function protocolMatch({ protocol, ports }: SegmentAclRule, family: 'ip' | 'ip6' | undefined): string[] {
  const range = ports === undefined ? '' : ports.from === ports.to ? `${ports.from}` : `${ports.from}-${ports.to}`;
  if (protocol === 'icmp') return [`meta l4proto ${family === undefined ? '{ icmp, 58 }' : ICMP[family]}`];
  if (protocol === undefined) return range === '' ? [] : ['meta l4proto { tcp, udp }', `th dport ${range}`];
  return range === '' ? [`meta l4proto ${protocol}`] : [`${protocol} dport ${range}`];
}
