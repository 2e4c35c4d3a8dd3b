import { SkerryError, type Network, type NetworkSpec, type NetworkStatus, type Vm } from '@skerry/api';
import { allocateSubnet, checkDhcpRange, checkSubnet, gatewayOf } from './addresses.ts';
import { checkAcl, withRuleIds } from './acl-change-plan.ts';
import { checkSubnet6, gateway6Of } from './addresses6.ts';
import { checkForwards } from './forward-plan.ts';
import { datapathFor, type DatapathCapabilities } from './datapath-plan.ts';
import { assertSupported, type KernelSupport } from './kernel/support-plan.ts';
import { checkLanFields, checkLanRange, lanOf, type LanFacts } from './lan-plan.ts';
import { checkRoutes, normalRoute } from './route-plan.ts';

/** Pure: what a network that is asked for becomes, or why it can't be. */

/** What it must not collide with, and what the host has. */
export interface NetworkFacts extends DatapathCapabilities {
  readonly networks: readonly Pick<Network, 'name' | 'spec' | 'status'>[];
  /** Destinations of the host's routes, IPv4 and IPv6. */
  readonly routes: readonly string[];
  readonly routes6: readonly string[];
  /** Names of the host's interfaces. */
  readonly interfaces: readonly string[];
  /** Of a bridged one: what its interface has. */
  readonly lan?: LanFacts | undefined;
}

export interface NetworkPlan {
  readonly spec: NetworkSpec;
  readonly status: NetworkStatus;
}

/**
 * @throws SkerryError `invalid`, `in-use` (a subnet, a VNI), `not-found` (an interface), `no-space`, `unsupported`
 */
export function planNetwork(asked: NetworkSpec, facts: NetworkFacts): NetworkPlan {
  const spec = normalSpec(asked);
  checkOwn(spec);
  const datapath = datapathFor(spec.mode, spec.datapath, facts);
  checkParent(spec, facts);
  checkVni(spec, facts);
  const { subnet, gateway } = planPlace(spec, facts);
  const used6 = [...facts.networks.flatMap(({ status }) => status.ipv6?.subnet ?? []), ...facts.routes6];
  const ipv6 = spec.ipv6 === undefined ? undefined : checkSubnet6(spec.ipv6, used6);
  if (ipv6 !== undefined) checkMtuOfIpv6(spec);
  checkRange(spec, subnet);
  const status: NetworkStatus = {
    subnet,
    gateway,
    datapath,
    ...(ipv6 === undefined ? {} : { ipv6: { subnet: ipv6, gateway: gateway6Of(ipv6) } }),
  };
  checkRules(spec, status, facts.kernel);
  return { spec, status };
}

/** Rules have numbers, routes no bits below their prefix. */
export function normalSpec(spec: NetworkSpec): NetworkSpec {
  return {
    ...spec,
    ...(spec.acl === undefined ? {} : { acl: withRuleIds(spec.acl) }),
    ...(spec.routes === undefined ? {} : { routes: spec.routes.map(normalRoute) }),
  };
}

/**
 * What of a network may be changed while VMs are on it.
 * @param kernel what this host can do; absent: it is not looked at
 * @throws SkerryError `invalid`, `in-use` (a port of the host twice), `unsupported`
 */
export function checkRules(spec: NetworkSpec, status: NetworkStatus, kernel?: KernelSupport): void {
  if (status.datapath === 'kernel' && kernel !== undefined) assertSupported(spec, kernel);
  if (spec.mode === 'bridged') checkLanFields(spec);
  checkForwards(spec);
  checkAcl(spec.acl);
  checkRoutes(spec.routes ?? [], status);
}

/** What its fields say by themselves. @throws SkerryError `invalid` */
export function checkOwn(spec: NetworkSpec): void {
  checkFieldsOf(spec);
  checkDomain(spec);
}

/** Fields that belong to other modes say that something else was meant. */
function checkFieldsOf(spec: NetworkSpec): void {
  const { mode } = spec;
  const onlyOf = (field: 'parent' | 'vni' | 'peers', owner: NetworkSpec['mode'], option: string): void => {
    if (spec[field] === undefined || mode === owner) return;
    throw new SkerryError('invalid', `A network of mode ${mode} has no --${option}`, {
      remedy: `Leave it out, or choose --mode ${owner}.`,
    });
  };
  onlyOf('parent', 'bridged', 'parent');
  onlyOf('vni', 'overlay', 'vni');
  onlyOf('peers', 'overlay', 'peer');
  const unread = (['acl', 'dhcpRange', 'routes'] as const).find((field) => spec[field] !== undefined);
  if (mode === 'link' && unread !== undefined) {
    throw new SkerryError('invalid', `A link is a wire, which nobody looks into: it has no ${unread}`, {
      remedy: 'Leave it out, or use a network of mode isolated.',
      details: { field: unread },
    });
  }
  if (mode === 'bridged' && spec.parent === undefined) {
    throw new SkerryError('invalid', 'A bridged network needs an interface of the host', {
      remedy: 'Name it: --parent eth0. `ip link` shows those that there are.',
    });
  }
  if (mode === 'overlay' && spec.vni === undefined) {
    throw new SkerryError('invalid', 'An overlay network needs a number that all its hosts give it', {
      remedy: 'Choose one from 1 to 16777215, and use it on each host: --vni 100.',
    });
  }
  const families = new Set((spec.peers ?? []).map((peer) => peer.includes(':')));
  if (families.size > 1) {
    throw new SkerryError(
      'invalid',
      'The peers of an overlay are of one family: a tunnel carries IPv4 or IPv6 outside',
      {
        remedy: 'Name all of them by IPv4, or all by IPv6.',
        details: { peers: spec.peers },
      },
    );
  }
}

const MIN_IPV6_MTU = 1280; // RFC 8200 section 5

function checkMtuOfIpv6({ mtu = MIN_IPV6_MTU }: NetworkSpec): void {
  if (mtu >= MIN_IPV6_MTU) return;
  throw new SkerryError('invalid', `IPv6 needs an MTU of ${MIN_IPV6_MTU}, ${mtu} is less`, {
    remedy: `Use --mtu ${MIN_IPV6_MTU} or more, or leave --ipv6 out.`,
    details: { mtu },
  });
}

/** Labels as in RFC 1123 section 2.1, with dots between them. */
const DOMAIN = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*$/;

function checkDomain({ domain }: NetworkSpec): void {
  if (domain === undefined || DOMAIN.test(domain)) return;
  throw new SkerryError('invalid', `'${domain}' is no domain`, {
    remedy: 'Write lower-case letters, digits and - with dots between them, such as dev.test.',
  });
}

export function checkParent({ parent }: NetworkSpec, { interfaces, networks }: NetworkFacts): void {
  if (parent === undefined) return;
  if (!interfaces.includes(parent)) {
    throw new SkerryError('not-found', `This host has no interface '${parent}'`, {
      remedy: `Name one of ${interfaces.filter((name) => name !== 'lo').join(', ')}.`,
      details: { parent },
    });
  }
  if (parent === 'lo') {
    throw new SkerryError('invalid', 'Nothing can be reached through the loopback interface', {
      remedy: 'Name an interface that leads to other machines, such as eth0.',
    });
  }
  const other = networks.find(({ spec }) => spec.parent === parent);
  if (other === undefined) return;
  throw new SkerryError('in-use', `The network '${other.name}' is on ${parent} already`, {
    remedy: `Put VMs on it: --network ${other.name}.`,
    details: { parent, network: other.name },
  });
}

function checkVni({ vni }: NetworkSpec, { networks }: NetworkFacts): void {
  if (vni === undefined) return;
  const other = networks.find(({ spec }) => spec.vni === vni);
  if (other === undefined) return;
  throw new SkerryError('in-use', `The network '${other.name}' has the VNI ${vni} already`, {
    remedy: 'Choose another number, the same on all hosts.',
    details: { vni, network: other.name },
  });
}

/** Whether it can be deleted. @throws SkerryError `in-use`: VMs have NICs in it, all of which are named */
export function assertUnused({ name, spec }: Network, vms: readonly Vm[]): void {
  const names = vms.filter(({ status }) => status.nics.some(({ network }) => network === name)).map((vm) => vm.name);
  if (names.length === 0) return;
  const isOne = names.length === 1;
  const details = { network: name, vms: names };
  if (spec.mode === 'link') {
    const who = `${names.join(' and ')} ${isOne ? 'has' : 'have'} a NIC on it`;
    throw new SkerryError('in-use', `'${name}' is a link: ${who}`, {
      remedy: `Take the link away, with its NICs: \`skerry link delete ${name}\`.`,
      details,
    });
  }
  throw new SkerryError('in-use', `${names.join(', ')} ${isOne ? 'is' : 'are'} on the network '${name}'`, {
    remedy: `Delete ${isOne ? 'it' : 'them'} first: \`skerry delete ${names.join(' ')}\`.`,
    details,
  });
}

/** @throws SkerryError `invalid` */
export function checkRange({ mode, dhcpRange }: NetworkSpec, subnet: string): void {
  if (dhcpRange === undefined) return;
  if (mode === 'bridged') checkLanRange(subnet, dhcpRange);
  else checkDhcpRange(subnet, dhcpRange);
}

function planPlace(spec: NetworkSpec, { networks, routes, lan }: NetworkFacts): { subnet: string; gateway: string } {
  const used = networks.map(({ status }) => status.subnet);
  if (spec.mode === 'bridged') return lanOf(spec, lan ?? { addresses: [], routes: [] }, used);
  const subnet =
    spec.subnet === undefined
      ? allocateSubnet(used, routes, spec.mode === 'link' ? 'link' : 'lan')
      : checkSubnet(spec.subnet, used, routes);
  return { subnet, gateway: spec.mode === 'link' ? '' : gatewayOf(subnet) };
}
