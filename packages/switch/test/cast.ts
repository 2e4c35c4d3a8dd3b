import { formatIpv6 } from '../src/address6.ts';
import type { Segment } from '../src/config.ts';
import type { Cast } from './attacks.ts';
import { autoconfigured } from './frames6.ts';
import { GATEWAY_MAC, segment, segmentPort } from './support.ts';

/** Who is who in a segment of the switch. */

const SUBNET6 = 'fd00:50::/64';
const station = (n: number) => ({
  mac: `02:00:00:00:00:0${n}`,
  address: `10.213.4.1${n}`,
  address6: `fd00:50::1${n}`,
});
const GATEWAY = { mac: GATEWAY_MAC, address: '10.213.4.1', address6: 'fd00:50::1' };

export const CAST: Cast = {
  eve: station(0),
  victim: station(1),
  friend: { ...station(2), address6: formatIpv6(autoconfigured(SUBNET6, station(2).mac)) },
  walled: station(3),
  gateway: GATEWAY,
  subnet6: SUBNET6,
  host: '192.0.2.2',
  elsewhere: '10.213.9.10',
  outside: '198.51.100.1',
  alias: '10.213.4.3',
  broadcast: '10.213.4.255',
  refusedPort: 22,
  forwardPort: 40_081,
};

/** Eve's port is the first one, the victim's the second. @param path of the socket of each, and of `egress` */
export function castSegment(path = (id: string) => `/run/${id}`): Segment {
  const port = (id: 'eve' | 'victim' | 'friend' | 'walled', more = {}) =>
    segmentPort(id, CAST[id], {
      addresses: [CAST[id].address, CAST[id].address6],
      socketPath: path(id),
      ...more,
    });
  return segment({
    ipv6: { subnet: SUBNET6, gateway: GATEWAY.address6 },
    egress: { socketPath: path('egress'), ipv6: true },
    ports: [port('eve'), port('victim'), port('friend'), port('walled', { vlan: 20 })],
    udpForwards: [{ hostAddress: '127.0.0.7', hostPort: 40_053, address: CAST.victim.address, guestPort: 53 }],
    acl: {
      default: 'deny',
      rules: [
        { id: 1, action: 'deny', protocol: 'tcp', ports: { from: 22, to: 22 } },
        { id: 3, action: 'allow', protocol: 'tcp' },
        { id: 4, action: 'allow', protocol: 'udp' },
        // Of IPv6 no more than a ping of the gateway: neighbour discovery is not asked about.
        { id: 5, action: 'allow', protocol: 'icmp', from: ['0.0.0.0/0'] },
        { id: 6, action: 'allow', protocol: 'icmp', to: [GATEWAY.address6] },
      ],
    },
  });
}
