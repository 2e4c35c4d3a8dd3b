import { SkerryError, type Uplink } from '@skerry/api';

/**
 * An interface of the host as a port of a bridge. The bridge gets what the interface had: its MAC, so that neighbours need not
 * learn anything, its addresses and its routes; and gives it back. Lines for `ip -batch`. Pure.
 */

/** What moves: it is told in the network's status, for whoever has to undo it. */
export interface Moved extends Pick<Uplink, 'bridge' | 'mac' | 'mtu'> {
  readonly addresses: readonly string[];
  readonly routes: readonly string[];
}

/** An interface as `ip -j -d address show` and `ip -j route show table all` tell of it. */
export interface HostLink {
  readonly name: string;
  readonly mac: string;
  readonly mtu: number;
  readonly isUp: boolean;
  /** `ether` is what can be bridged. */
  readonly linkType: string;
  /** `bridge`, `vlan`, `veth`, ...; empty for what is made of metal. */
  readonly kind: string;
  readonly master?: string | undefined;
  /** Those that are not link-local, with their prefix. */
  readonly addresses: readonly string[];
  /** Those that the kernel does not make by itself of the addresses. */
  readonly routes: readonly string[];
  /** Some of its routes lead over other interfaces as well. */
  readonly hasMultipath: boolean;
}

interface IpLink {
  readonly ifname?: string;
  readonly flags?: readonly string[];
  readonly mtu?: number;
  readonly address?: string;
  readonly master?: string;
  readonly link_type?: string;
  readonly linkinfo?: { readonly info_kind?: string };
  readonly addr_info?: readonly IpAddress[];
}

interface IpAddress {
  readonly family?: string;
  readonly local?: string;
  readonly prefixlen?: number;
  readonly scope?: string;
  /** RFC 8981: made anew by the kernel itself. */
  readonly temporary?: boolean;
}

interface IpRoute {
  readonly type?: string;
  readonly dst?: string;
  readonly gateway?: string;
  readonly via?: { readonly family: string; readonly host: string };
  readonly dev?: string;
  readonly table?: string;
  readonly protocol?: string;
  readonly scope?: string;
  readonly prefsrc?: string;
  readonly metric?: number;
  readonly flags?: readonly string[];
  readonly nexthops?: ReadonlyArray<{ readonly dev?: string }>;
}

/** @param output of `ip -j -d address show` @param routes4 of `ip -j -4 route show table all` @param routes6 the same of -6 */
export function readHostLink(name: string, output: unknown, routes4: unknown, routes6: unknown): HostLink | undefined {
  const link = (output as IpLink[]).find(({ ifname }) => ifname === name);
  if (link === undefined) return undefined;
  const all = [...(routes4 as IpRoute[]), ...(routes6 as IpRoute[])];
  return {
    name,
    mac: link.address ?? '',
    mtu: link.mtu ?? 0,
    isUp: link.flags?.includes('UP') ?? false,
    linkType: link.link_type ?? '',
    kind: link.linkinfo?.info_kind ?? '',
    master: link.master,
    addresses: (link.addr_info ?? [])
      .filter(({ scope, temporary }) => scope !== 'link' && temporary !== true)
      .map(({ local, prefixlen }) => `${local}/${prefixlen}`),
    routes: [...routesOf(name, routes4, '0.0.0.0/0'), ...routesOf(name, routes6, '::/0')],
    hasMultipath: all.some(({ nexthops }) => nexthops?.some(({ dev }) => dev === name)),
  };
}

function routesOf(name: string, output: unknown, everywhere: string): string[] {
  const routes = (output as IpRoute[]).filter(
    ({ dev, type = 'unicast', protocol, nexthops }) =>
      dev === name && type === 'unicast' && protocol !== 'kernel' && nexthops === undefined,
  );
  // What a router is reached by comes before what is reached by the router.
  const isDirect = ({ gateway, via }: IpRoute): boolean => gateway === undefined && via === undefined;
  return [...routes.filter(isDirect), ...routes.filter((route) => !isDirect(route))].map((route) =>
    [
      route.dst === undefined || route.dst === 'default' ? everywhere : route.dst,
      ...(route.gateway === undefined ? [] : ['via', route.gateway]),
      ...(route.via === undefined ? [] : ['via', route.via.family, route.via.host]),
      ...field('table', route.table),
      ...field('proto', route.protocol),
      ...field('scope', everywhere === '::/0' ? undefined : route.scope),
      ...field('src', route.prefsrc),
      ...field('metric', route.metric?.toString()),
      ...(route.flags?.includes('onlink') === true ? ['onlink'] : []),
    ].join(' '),
  );
}

function field(word: string, value: string | undefined): string[] {
  return value === undefined ? [] : [word, value];
}

/** Kinds that carry no frames of others, or would carry them in a circle. */
const NO_PORT = new Set(['bridge', 'ipvlan', 'ipvtap', 'macvlan', 'macvtap', 'team_slave']);

/** @throws SkerryError `invalid`, `in-use`, `unsupported`: it can't become a port of a bridge, or not without loss */
export function checkHostLink({ name, linkType, kind, master, hasMultipath }: HostLink, isWireless: boolean): void {
  const refuse = (code: 'invalid' | 'in-use' | 'unsupported', why: string, remedy: string): never => {
    throw new SkerryError(code, `${name} can not be bridged: ${why}`, { remedy, details: { parent: name } });
  };
  const another = 'Name a wired Ethernet interface. `ip -d link` shows what each is.';
  // What ip(8) reads of a batch are words.
  if (!/^[\w.:-]+$/.test(name)) refuse('invalid', 'its name can not be written down for ip(8)', another);
  if (/^(?:sk[\da-z]{4}[a-z][\da-f]{8}$|skerry-)/.test(name)) refuse('in-use', 'it is one of ours', another);
  if (linkType !== 'ether')
    refuse('invalid', `it carries no Ethernet frames (${linkType || 'no link layer'})`, another);
  // An access point takes frames of its stations' own MACs only (IEEE 802.11, three addresses).
  if (isWireless) refuse('invalid', 'Wi-Fi carries no frames of other MACs', `${another} Or use --mode nat.`);
  if (NO_PORT.has(kind)) refuse('invalid', `it is a ${kind}`, another);
  if (master !== undefined) refuse('in-use', `it is part of ${master} already`, another);
  if (hasMultipath)
    refuse('unsupported', 'one of its routes leads over several interfaces', 'Take that route away first: `ip route`.');
}

/** What there is to move. */
export function movedOf({ mac, mtu, addresses, routes }: HostLink, bridge: string): Omit<Uplink, 'confirmed'> {
  return { bridge, mac, mtu, addresses: [...addresses], routes: [...routes] };
}

/**
 * The first that fails ends it, and all is undone. What the kernel may refuse comes before anything is taken from the interface.
 */
export function stageLines(parent: string, moved: Moved): string[] {
  return [...makeLines(parent, moved), ...moveLines(parent, moved)];
}

function makeLines(parent: string, { bridge, mac, mtu }: Moved): string[] {
  return [
    // Guests' multicast is not to depend on who of the LAN asks for it (RFC 4541 section 3).
    `link add name ${bridge} address ${mac} type bridge forward_delay 0 stp_state 0 mcast_snooping 0`,
    // Told by name it is not that of the port that has the least (br_mtu_auto_adjust).
    `link set dev ${bridge} mtu ${mtu}`,
    `link set dev ${bridge} up`,
    `link set dev ${parent} up`,
    `link set dev ${parent} master ${bridge}`,
  ];
}

function moveLines(parent: string, { bridge, addresses, routes }: Pick<Moved, 'bridge' | 'addresses' | 'routes'>) {
  return [
    ...routes.map((route) => `route del ${route} dev ${parent}`),
    // One after the other, the first of a subnet last: the others would go with it (promote_secondaries).
    ...addresses.toReversed().map((address) => `address del ${address} dev ${parent}`),
    ...addresses.map((address) => addLine(address, bridge)),
    ...routes.map((route) => `route replace ${route} dev ${bridge}`),
  ];
}

/** An address that has been in use needs no new look whether somebody has it. */
function addLine(address: string, dev: string): string {
  return address.includes(':') ? `address add ${address} dev ${dev} nodad` : `address add ${address} brd + dev ${dev}`;
}

/** Whatever of it is there; each line may fail, as it may be undone already. With the bridge go its addresses and routes. */
export function undoLines(parent: string, { bridge, addresses, routes }: Moved): string[] {
  return [
    `link del dev ${bridge}`,
    `link set dev ${parent} up`,
    ...addresses.map((address) => addLine(address, parent)),
    ...routes.map((route) => `route replace ${route} dev ${parent}`),
  ];
}

/**
 * What makes it whole again; empty when it is. What the bridge has by now stays as it is; what comes to the interface, as from
 * a DHCP client that goes on with it, is moved. Nothing can be done without the interface.
 */
export function repairLines(moved: Moved, parent: HostLink | undefined, bridge: HostLink | undefined): string[] {
  if (parent === undefined) return [];
  const { name } = parent;
  // After a restart of the host: what it has now counts.
  if (bridge === undefined)
    return stageLines(name, parent.addresses.length > 0 ? movedOf(parent, moved.bridge) : moved);
  return [
    ...(parent.isUp ? [] : [`link set dev ${name} up`]),
    ...(parent.master === moved.bridge ? [] : [`link set dev ${name} master ${moved.bridge}`]),
    ...(bridge.mac === moved.mac ? [] : [`link set dev ${moved.bridge} address ${moved.mac}`]),
    // Its routes went when it went down.
    ...(bridge.isUp
      ? []
      : [
          `link set dev ${moved.bridge} up`,
          ...moved.routes.map((route) => `route replace ${route} dev ${moved.bridge}`),
        ]),
    ...moveLines(name, { bridge: moved.bridge, addresses: parent.addresses, routes: parent.routes }),
  ];
}

/** Whether all that was to move has moved. */
export function isStaged(moved: Moved, parent: HostLink | undefined, bridge: HostLink | undefined): boolean {
  if (parent === undefined || bridge === undefined) return false;
  const has = (address: string): boolean => bridge.addresses.includes(address);
  return repairLines(moved, parent, bridge).length === 0 && moved.addresses.every(has);
}
