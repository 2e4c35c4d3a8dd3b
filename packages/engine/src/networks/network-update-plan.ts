import { SkerryError, type Network, type NetworkSpec } from '@skerry/api';
import { cidrs6Overlap, parseCidr6 } from './addresses6.ts';
import { checkOwn, checkRange, checkRules, normalSpec } from './network-plan.ts';
import { parseCidr } from '@skerry/switch/address';

/** Pure: what becomes of a network that is there when something else is declared of it. */

export interface NetworkUpdate {
  readonly spec: NetworkSpec;
  /** Fields that are other than before. */
  readonly changed: readonly string[];
}

/** Taken up in place, by VMs that run at their next start where it is the guest that has to know. */
const CHANGEABLE = ['mode', 'domain', 'mtu', 'dhcpRange', 'forwards', 'acl', 'routes', 'peers'] as const;
/** Frames of these are carried by other means than those of the others. */
const OF_THEIR_OWN = new Set<NetworkSpec['mode']>(['bridged', 'overlay', 'link']);

/** @throws SkerryError `unsupported`: it would have to be made anew; `invalid`, `in-use` (a port of the host twice) */
export function planUpdate({ name, spec: before, status }: Network, declared: NetworkSpec): NetworkUpdate {
  const wanted = normalSpec(declared);
  const fixed = [
    ...(wanted.subnet === undefined || isSameCidr(wanted.subnet, status.subnet) ? [] : ['subnet']),
    ...(isSameCidr6(wanted.ipv6, status.ipv6?.subnet) ? [] : ['ipv6']),
    ...(wanted.datapath === undefined || wanted.datapath === status.datapath ? [] : ['datapath']),
    ...(wanted.mode === before.mode || !(OF_THEIR_OWN.has(wanted.mode) || OF_THEIR_OWN.has(before.mode))
      ? []
      : ['mode']),
    ...(['parent', 'vni'] as const).filter((field) => wanted[field] !== before[field]),
  ];
  if (fixed.length > 0) {
    throw new SkerryError(
      'unsupported',
      `${fixed.join(', ')} of the network ${name} can't be changed: it would be another`,
      {
        remedy: 'Call it otherwise: its VMs then move to a new one, and are made anew. Or leave that as it was.',
        details: { network: name, fields: fixed },
      },
    );
  }
  const spec = { ...wanted, ...(before.subnet === undefined ? {} : { subnet: before.subnet }) };
  checkOwn(spec);
  checkRules(spec, status);
  checkRange(spec, status.subnet);
  return { spec, changed: CHANGEABLE.filter((field) => !isSame(spec[field], before[field])) };
}

function isSameCidr(a: string, b: string): boolean {
  const [left, right] = [parseCidr(a), parseCidr(b)];
  return left !== undefined && left.base === right?.base && left.prefix === right.prefix;
}

function isSameCidr6(a: string | undefined, b: string | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  const [left, right] = [parseCidr6(a), parseCidr6(b)];
  return left !== undefined && right !== undefined && left.prefix === right.prefix && cidrs6Overlap(left, right);
}

/** Nothing and none are one. */
function isSame(a: unknown, b: unknown): boolean {
  const none = (value: unknown): unknown => (Array.isArray(value) && value.length === 0 ? undefined : value);
  return stable(none(a)) === stable(none(b));
}

function stable(value: unknown): string {
  return JSON.stringify(value ?? null, (_, inner: unknown) =>
    typeof inner === 'object' && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  );
}
