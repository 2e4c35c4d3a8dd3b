import { formatIpv6 } from '../src/address6.ts';
import { ethernetFrame } from '../src/packets/ethernet.ts';
import { ipv4Frame } from '../src/packets/ipv4.ts';
import type { DropReason } from '../src/verdict.ts';
import { icmp, piece, tagged, tcp, withIpOptions, type Station } from './frames.ts';
import {
  announcement,
  autoconfigured,
  cutTo,
  DESTINATION_OPTIONS,
  fragment,
  linkLocal,
  neighbour,
  pieces6,
  ping6,
  raw6,
  redirect,
  ROUTING,
  solicitation,
  udp6,
  withHeaders,
  type Station6,
} from './frames6.ts';
import { arp, dhcp, ends, mac, udp } from './support.ts';

/**
 * What a hostile guest sends, as frames, each with a control: the same thing done rightly, which has to pass. Of no particular
 * network: a cast says who is who, so the same list goes through `decide`, the switch process and real VMs.
 */

export interface Cast {
  /** Who attacks, from here all frames are sent. */
  readonly eve: Station & Station6;
  readonly victim: Station & Station6;
  /** Who is pretended to be. */
  readonly friend: Station & Station6;
  /** In a VLAN of its own. */
  readonly walled: Station & Station6;
  /** With both addresses of it. */
  readonly gateway: Station & Station6;
  readonly subnet6: string;
  /** Address of the host itself, of a guest of another network, of the outside. */
  readonly host: string;
  readonly elsewhere: string;
  readonly outside: string;
  /** A slirp alias, and the directed broadcast address. */
  readonly alias: string;
  readonly broadcast: string;
  /** A TCP port of the victim that the network's ACL refuses; all others it lets through. */
  readonly refusedPort: number;
  /** A port of 127.0.0.1 of the host that leads to a guest of another network. */
  readonly forwardPort: number;
}

export interface Attack {
  readonly name: string;
  readonly reason: DropReason;
  /** None of them may get anywhere, nor be answered. */
  readonly frames: readonly Buffer[];
  readonly control: readonly Buffer[];
  /** Where the control arrives: each frame at the victim, at the way out, or it is answered by the gateway. */
  readonly reaches: 'victim' | 'outside' | 'answer';
  /** For the switch alone: there is nothing in it that a receiver would heed, or, in IPv6, it has no way out and the kernel has. */
  readonly harmless?: true | undefined;
}

const EVERYBODY = 'ff:ff:ff:ff:ff:ff';
const ALL_NODES: Station6 = { mac: '33:33:00:00:00:01', address6: 'ff02::1' };
const ALL_ROUTERS: Station6 = { mac: '33:33:00:00:00:02', address6: 'ff02::2' };

export function attacks(cast: Cast): Attack[] {
  return [...ofEthernet(cast), ...ofIpv4(cast), ...ofWaysOut(cast), ...ofIpv6(cast), ...ofNeighbours(cast)];
}

function attack(
  name: string,
  reason: DropReason,
  frames: Buffer | readonly Buffer[],
  control: Buffer | readonly Buffer[],
  reaches: Attack['reaches'] = 'victim',
): Attack {
  return {
    name,
    reason,
    frames: Buffer.isBuffer(frames) ? [frames] : frames,
    control: Buffer.isBuffer(control) ? [control] : control,
    reaches,
  };
}

function harmless(of: Attack): Attack {
  return { ...of, harmless: true };
}

function ofEthernet({ eve, victim, friend, walled, gateway }: Cast): Attack[] {
  const honest = udp(eve, victim);
  const claim = (sender: string, more: Partial<Parameters<typeof arp>[0]> = {}) =>
    arp({ operation: 2, senderMac: eve.mac, sender, target: victim.address, to: victim.mac, ...more });
  const typed = (type: number, to = victim.mac) => ethernetFrame(mac(to), mac(eve.mac), type, Buffer.alloc(60));
  return [
    attack("a friend's MAC", 'foreign-mac', udp({ ...eve, mac: friend.mac }, victim), honest),
    attack("the gateway's MAC", 'foreign-mac', udp({ ...eve, mac: gateway.mac }, victim), honest),
    attack(
      'many MACs',
      'foreign-mac',
      Array.from({ length: 40 }, (_, i) => udp({ ...eve, mac: `02:00:00:00:fe:${String(i + 10)}` }, victim)),
      honest,
    ),
    attack('a group as sender', 'foreign-mac', udp({ ...eve, mac: '03:00:00:00:00:01' }, victim), honest),
    attack("ARP: I have a friend's address", 'foreign-arp', claim(friend.address), claim(eve.address)),
    attack("ARP: I have the gateway's", 'foreign-arp', claim(gateway.address), claim(eve.address)),
    attack(
      'ARP: at another MAC',
      'foreign-arp',
      claim(eve.address, { senderMac: friend.mac, from: eve.mac }),
      claim(eve.address),
    ),
    attack('ARP: an answer from nobody', 'foreign-arp', claim('0.0.0.0'), claim('0.0.0.0', { operation: 1 })),
    attack(
      'gratuitous ARP',
      'foreign-arp',
      claim(friend.address, { operation: 1, target: friend.address, to: EVERYBODY }),
      claim(eve.address, { operation: 1, target: eve.address, to: EVERYBODY }),
    ),
    attack('a tag', 'vlan', tagged(honest, 20), honest),
    // What most of a guest's packets are may pass by a shorter way.
    attack('a tag before TCP', 'vlan', tagged(tcp(eve, victim), 20), tcp(eve, victim)),
    attack("a friend's MAC before TCP", 'foreign-mac', tcp({ ...eve, mac: friend.mac }, victim), tcp(eve, victim)),
    attack('a priority tag', 'vlan', tagged(honest, 0x2000), honest),
    attack('two tags', 'vlan', tagged(tagged(honest, 20), 1), honest),
    attack("a provider's tag", 'other-protocol', tagged(honest, 20, 0x88a8), honest),
    attack('into another VLAN', 'vlan', udp(eve, walled), honest),
    attack('LLDP', 'other-protocol', typed(0x88cc, '01:80:c2:00:00:0e'), honest),
    attack('spanning tree', 'other-protocol', typed(38, '01:80:c2:00:00:00'), honest),
    attack('PPPoE discovery', 'other-protocol', typed(0x8863), honest),
    harmless(
      attack(
        'more than the MTU',
        'too-big',
        udp(eve, victim, { payload: Buffer.alloc(1473) }),
        udp(eve, victim, { payload: Buffer.alloc(1472) }),
      ),
    ),
  ];
}

function ofIpv4({ eve, victim, friend, gateway, refusedPort }: Cast): Attack[] {
  const honest = udp(eve, victim);
  const asked = (payload: Buffer) =>
    udp(
      { ...eve, address: '0.0.0.0' },
      { mac: EVERYBODY, address: '255.255.255.255' },
      { sourcePort: 68, port: 67, payload },
    );
  const discover = asked(dhcp(eve, 1));
  const offer = (sourcePort: number) => udp(eve, victim, { sourcePort, port: 68, payload: dhcp(eve, 2) });
  const optioned = (...bytes: number[]) => withIpOptions(honest, Buffer.from(bytes));
  const long = ipv4Frame(ends(eve, victim), 6, Buffer.concat([tcp(eve, victim).subarray(34), Buffer.alloc(44)]));
  const first = (id: number) => piece(long, 0, 32, { more: true, id });
  const whole = (id: number) => [first(id), piece(long, 32, 32, { more: false, id })];
  const lying = Buffer.from(honest);
  lying.writeUInt16BE(1400, 16);
  const mixed = Buffer.from(honest);
  mixed[14] = 0x65;
  return [
    attack("a friend's address", 'foreign-address', udp({ ...eve, address: friend.address }, victim), honest),
    attack("the gateway's address", 'foreign-address', udp({ ...eve, address: gateway.address }, victim), honest),
    attack(
      "a friend's address by TCP",
      'foreign-address',
      tcp({ ...eve, address: friend.address }, victim),
      tcp(eve, victim),
    ),
    attack('no address', 'foreign-address', udp({ ...eve, address: '0.0.0.0' }, victim), honest),
    attack('a DHCP server', 'rogue-dhcp', offer(67), discover, 'answer'),
    attack("DHCP in a friend's name", 'rogue-dhcp', asked(dhcp(friend, 1)), discover, 'answer'),
    attack(
      "DHCP in a friend's name, in pieces",
      'rogue-dhcp',
      piece(asked(dhcp(friend, 1)), 0, 16, { more: true, id: 28 }),
      discover,
      'answer',
    ),
    attack('a DHCP server at another port', 'rogue-dhcp', offer(1067), honest),
    attack('a DHCP server in pieces', 'rogue-dhcp', piece(offer(67), 0, 64, { more: true, id: 20 }), honest),
    attack('a loose source route', 'source-route', optioned(131, 7, 4, 10, 9, 9, 9, 0), optioned(148, 4, 0, 0)),
    attack('a strict source route', 'source-route', optioned(1, 137, 7, 4, 10, 9, 9, 9), optioned(1, 1, 1, 0)),
    attack('a redirect', 'rogue-router', icmp(eve, victim, 5, honest), icmp(eve, victim, 8)),
    attack('a refused port', 'acl', tcp(eve, victim, { port: refusedPort }), tcp(eve, victim, { port: 80 })),
    attack('a piece too tiny for the flags', 'acl', piece(long, 0, 8, { more: true, id: 21 }), whole(22)),
    attack('a piece over the flags', 'acl', piece(long, 8, 24, { more: false, id: 23 }), whole(24)),
    attack(
      'a second first piece with another port',
      'acl',
      piece(tcp(eve, victim, { port: refusedPort }), 0, 20, { more: true, id: 25 }),
      whole(25),
    ),
    attack('a piece of nothing', 'acl', piece(long, 32, 32, { more: false, id: 26 }), whole(27)),
    attack('IPv4 that is IPv6', 'malformed', mixed, honest),
    harmless(attack('a length that is not there', 'malformed', lying, honest)),
  ];
}

function ofWaysOut({ eve, walled, gateway, host, elsewhere, outside, alias, broadcast, forwardPort }: Cast): Attack[] {
  const through = (address: string, port = 80) => tcp(eve, { mac: gateway.mac, address }, { port });
  const honest = through(outside);
  const to = (name: string, address: string) => attack(name, 'host', through(address), honest, 'outside');
  return [
    to("the host's address", host),
    to("the cloud's metadata", '169.254.169.254'),
    to('another network', elsewhere),
    to('another VLAN, by way of the gateway', walled.address),
    to('loopback', '127.0.0.1'),
    attack('a forward of loopback', 'host', through('127.0.0.1', forwardPort), honest, 'outside'),
    to('this network', '0.0.0.0'),
    to("slirp's alias of the host", alias),
    to('directed broadcast', broadcast),
    to('broadcast', '255.255.255.255'),
    to('multicast', '224.0.0.251'),
    attack("the gateway's TCP", 'host', through(gateway.address, 22), icmp(eve, gateway, 8), 'answer'),
    attack(
      'a port of a client of a forward',
      'host',
      udp(eve, gateway, { port: 50_000 }),
      udp(eve, { mac: gateway.mac, address: outside }, { port: 50_000 }),
      'outside',
    ),
    attack(
      'a foreign address to the outside',
      'foreign-address',
      tcp({ ...eve, address: elsewhere }, { mac: gateway.mac, address: outside }),
      honest,
      'outside',
    ),
  ];
}

function ofIpv6({ eve, victim, friend, gateway, subnet6 }: Cast): Attack[] {
  const honest = udp6(eve, victim);
  const from = (address6: string) => udp6({ ...eve, address6 }, victim);
  const own = formatIpv6(autoconfigured(subnet6, eve.mac));
  const spoof = (name: string, address6: string, control = honest) =>
    attack(name, 'foreign-address', from(address6), control);
  const options = { kind: DESTINATION_OPTIONS };
  const hopByHop = { kind: 0 };
  const endless = Array.from({ length: 8 }, () => options);
  const offer = udp6(eve, victim, { sourcePort: 547, port: 546 });
  const mixed = Buffer.from(honest);
  mixed[14] = 0x45;
  return [
    spoof("a friend's IPv6 address", friend.address6, from(own)),
    spoof("a friend's link-local address", formatIpv6(linkLocal(friend.mac)), from(formatIpv6(linkLocal(eve.mac)))),
    spoof("the gateway's IPv6 address", gateway.address6),
    spoof('6to4', '2002:a00:1::1'),
    spoof('IPv4 in disguise', `::ffff:${victim.address}`),
    spoof('IPv6 without an address', '::'),
    attack('a DHCPv6 server', 'rogue-dhcp', offer, honest),
    attack('a DHCPv6 server at another port', 'rogue-dhcp', udp6(eve, victim, { port: 546 }), honest),
    attack(
      'a routing header',
      'source-route',
      withHeaders(honest, { kind: ROUTING, data: Buffer.from([0, 0, 0, 1, 0, 0, 0, 0]) }),
      withHeaders(honest, options),
    ),
    harmless(
      attack(
        'headers without end',
        'malformed',
        withHeaders(honest, ...endless),
        withHeaders(honest, hopByHop, options),
      ),
    ),
    attack('a DHCPv6 server behind headers without end', 'malformed', withHeaders(offer, ...endless), honest),
    attack('a DHCPv6 server behind options', 'rogue-dhcp', withHeaders(offer, hopByHop, options), honest),
    attack('an unknown header', 'other-protocol', withHeaders(honest, { kind: 253 }), honest),
    attack('a tunnel of IPv4', 'other-protocol', raw6(eve, victim, 4, udp(eve, victim).subarray(14)), honest),
    attack(
      'a piece of a piece',
      'malformed',
      withHeaders(honest, fragment(0, true, 31), fragment(0, false, 32)),
      honest,
    ),
    attack('a piece without a port', 'malformed', cutTo(withHeaders(honest, fragment(0, true, 34)), 8), honest),
    attack('IPv6 that is IPv4', 'malformed', mixed, honest),
    harmless(
      attack(
        "IPv6 to slirp's aliases of the host",
        'host',
        udp6(eve, { ...gateway, address6: subnet6.replace(/\/.*/, '3') }),
        ping6(eve, gateway),
        'answer',
      ),
    ),
    attack("the gateway's UDP in IPv6", 'host', udp6(eve, gateway, { port: 22 }), ping6(eve, gateway), 'answer'),
  ];
}

function ofNeighbours({ eve, victim, friend, gateway }: Cast): Attack[] {
  const nobody: Station6 = { ...eve, address6: '::' };
  const say = (target: string, at: string) => neighbour(eve, victim, 136, target, { kind: 2, mac: at });
  const honest = say(eve.address6, eve.mac);
  const ask = (target: string, at?: string) =>
    neighbour(
      at === undefined ? nobody : eve,
      ALL_NODES,
      135,
      target,
      at === undefined ? undefined : { kind: 1, mac: at },
    );
  const question = solicitation(eve, ALL_ROUTERS, { kind: 1, mac: eve.mac });
  const routed = announcement(eve, ALL_NODES);
  const options = { kind: DESTINATION_OPTIONS };
  const forwarded = Buffer.from(honest);
  forwarded[21] = 254;
  return [
    attack("ND: I have a friend's address", 'foreign-nd', say(friend.address6, eve.mac), honest),
    attack("ND: I have the gateway's", 'foreign-nd', say(gateway.address6, eve.mac), honest),
    attack('ND: at another MAC', 'foreign-nd', say(eve.address6, friend.mac), honest),
    attack(
      'ND: a question for another MAC',
      'foreign-nd',
      ask(victim.address6, friend.mac),
      ask(victim.address6, eve.mac),
    ),
    attack("ND: a friend's address is taken", 'foreign-nd', ask(friend.address6), ask(eve.address6)),
    attack('ND from afar', 'malformed', forwarded, honest),
    attack('ND in a piece', 'malformed', withHeaders(say(friend.address6, eve.mac), fragment(0, false)), honest),
    attack('ND in two pieces', 'malformed', pieces6(say(friend.address6, eve.mac), 8, 41).slice(0, 1), honest),
    attack('ND behind options', 'foreign-nd', withHeaders(say(friend.address6, eve.mac), options), honest),
    attack('a router announcement', 'rogue-router', routed, question, 'answer'),
    attack(
      'a router announcement behind options',
      'rogue-router',
      withHeaders(routed, options, options),
      question,
      'answer',
    ),
    attack(
      'a router announcement behind headers without end',
      'malformed',
      withHeaders(routed, ...Array.from({ length: 8 }, () => options)),
      question,
      'answer',
    ),
    attack('a router announcement in two pieces', 'malformed', pieces6(routed, 8, 42).slice(0, 1), question, 'answer'),
    attack(
      'a router announcement in pieces',
      'malformed',
      cutTo(withHeaders(routed, fragment(0, true), options), 16),
      question,
      'answer',
    ),
    attack('a redirect of IPv6', 'rogue-router', redirect(eve, victim, eve.address6, '2001:db8::1'), honest),
    attack(
      'a router solicitation for another MAC',
      'foreign-nd',
      solicitation(eve, ALL_ROUTERS, { kind: 1, mac: friend.mac }),
      neighbour(eve, ALL_NODES, 135, gateway.address6, { kind: 1, mac: eve.mac }),
      'answer',
    ),
  ];
}
