/**
 * What a host passes on between its interfaces for our guests, and for nobody else. Pure.
 *
 * Of IPv4 each interface has a switch of its own (ip-sysctl.rst `forwarding`), and the host's (`ip_forward`) stays as it is: so it
 * can be seen when somebody else turns that on, as Docker and libvirt do, and relies on it from then on. Of IPv6 the host's alone
 * counts (ip6_forward()), and a write to it also sets those of all interfaces, and `default`: they are put back at once, so each
 * stays a host to the routers of its link, and a `default` of 1 says that somebody else has written.
 */

/** What the host is made to pass on. */
export interface Passing {
  /** IPv4 that comes in by these was not passed on before us. */
  readonly interfaces: readonly string[];
  /** Nothing of IPv6 was. */
  readonly ipv6: boolean;
  /** Of others: br_netfilter shows frames from one port of them to another as if they were passed on. */
  readonly bridges: readonly string[];
}

export const PASSES_NOTHING: Passing = { interfaces: [], ipv6: false, bridges: [] };

/** What was changed, in a file for the next daemon. */
export interface Changed {
  readonly version: 1;
  readonly interfaces: readonly string[];
  readonly ipv6?: Changed6 | undefined;
}

export interface Changed6 {
  /** `begun`: perhaps not to its end. */
  readonly stage: 'begun' | 'done';
  /** Interfaces that passed on before, and perhaps `default`, though the host did not. */
  readonly routers: readonly string[];
  /** Interfaces that listen to routers as long as they are none themselves (accept_ra 1). */
  readonly listeners: readonly string[];
}

/** As it is now. */
export interface Switches {
  /** Of the host. */
  readonly ipv4: boolean;
  readonly ipv6: boolean;
  readonly default6: boolean;
  /** With an address of IPv4, none of ours; and whether they pass on. */
  readonly interfaces: ReadonlyMap<string, boolean>;
  /** All that are there. */
  readonly names: readonly string[];
}

/** @param wantsIpv6 one of our networks leads out by it */
export function passingOf(now: Switches, changed: Changed | undefined, wantsIpv6: boolean): Omit<Passing, 'bridges'> {
  // One that is down at this moment is still as we left it.
  const ours = (changed?.interfaces ?? []).filter((name) => now.names.includes(name));
  const added = [...now.interfaces].filter(([, passes]) => !passes).map(([name]) => name);
  const interfaces = now.ipv4 ? [] : [...new Set([...ours, ...added])];
  const ipv6 = isOurs6(now, changed?.ipv6) || (wantsIpv6 && !now.ipv6);
  return { interfaces: interfaces.toSorted(), ipv6 };
}

/** Whether the host passes on IPv6 for us alone. */
export function isOurs6(now: Switches, changed: Changed6 | undefined): boolean {
  if (changed === undefined || !now.ipv6) return false;
  return changed.stage === 'begun' || !now.default6 || changed.routers.includes('default');
}
