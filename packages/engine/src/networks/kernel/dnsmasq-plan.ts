import { hostnameOf } from '@skerry/api';
import { formatIpv4, lastAddress, parseCidr } from '@skerry/switch/address';
import { DEFAULT_MTU, mtuOf } from '../mtu-plan.ts';
import { reachesGateway } from '../names-plan.ts';
import { leadsOut } from './inet-plan.ts';
import type { DnsServer, KernelHost } from './kernel-model.ts';
import type { NicPlace } from './places-plan.ts';
import { namesIn, viewServer, viewsOf } from './views-plan.ts';

/** DHCP and DNS of one network: dnsmasq(8), told who has which address. Pure. */

/** The network's own, and one for each view of it; `{dir}` is the directory of their files. */
export function dnsServers(
  planned: NicPlace,
  netns: string | undefined,
  host: Pick<KernelHost, 'resolvers' | 'leadsOut6'>,
): DnsServer[] {
  const base = baseArgs(planned, host.resolvers);
  return [
    mainServer(planned, netns, base, host),
    ...viewsOf(planned).map((view) => viewServer(planned, netns, base, view)),
  ];
}

function baseArgs({ network, bridge }: NicPlace, resolvers: readonly string[]): string[] {
  return [
    '--conf-file=/dev/null',
    '--keep-in-foreground',
    '--log-facility=-',
    '--pid-file',
    '--bind-dynamic',
    `--interface=${bridge}`,
    '--except-interface=lo',
    '--no-hosts',
    '--no-resolv',
    '--no-poll',
    '--no-ping',
    '--domain-needed',
    '--bogus-priv',
    ...(leadsOut(network.mode) ? resolvers.map((address) => `--server=${address}`) : []),
  ];
}

function mainServer(
  planned: NicPlace,
  netns: string | undefined,
  base: readonly string[],
  { leadsOut6 }: Pick<KernelHost, 'leadsOut6'>,
): DnsServer {
  const { network, nics } = planned;
  const domain = network.domain;
  const out = leadsOut(network.mode);
  // What it announces for IPv6 is the bridge's by itself.
  const mtu = mtuOf(network);
  return {
    networkId: network.id,
    netns,
    args: [
      ...base,
      ...(domain === undefined ? [] : [`--domain=${domain}`, `--local=/${domain}/`]),
      '--addn-hosts={dir}/hosts',
      '--dhcp-authoritative',
      '--dhcp-leasefile={dir}/leases',
      '--dhcp-hostsfile={dir}/dhcp-hosts',
      `--dhcp-range=${dhcpRange(planned)}`,
      // Whoever has no way out is told of none.
      ...(out ? [] : ['--dhcp-option=option:router']),
      ...(mtu === DEFAULT_MTU ? [] : [`--dhcp-option=option:mtu,${mtu}`]),
      ...routesOf(planned),
      ...ipv6Of(planned, out && leadsOut6),
    ],
    hosts: nics
      .filter(({ nic }) => reachesGateway(nic))
      .map(({ vm, nic }) => {
        const names = namesIn(domain, hostnameOf(vm.name)).join(' ');
        return `${nic.address} ${names}\n${nic.address6 === undefined ? '' : `${nic.address6} ${names}\n`}`;
      })
      .join(''),
    dhcpHosts: nics.map(({ vm, nic }) => `${nic.mac},${nic.address},${hostnameOf(vm.name)},infinite\n`).join(''),
  };
}

/** `static`: only to those who are known. */
function dhcpRange({ network }: NicPlace): string {
  const cidr = parseCidr(network.subnet)!;
  const { dhcpRange: range } = network;
  if (range === undefined) return `${formatIpv4(cidr.base)},static,${formatIpv4(cidr.mask)}`;
  return `${range.from},${range.to},${formatIpv4(cidr.mask)},${formatIpv4(lastAddress(cidr))},1h`;
}

/** RFC 3442: who gets these reads no other, so the default route is among them. */
function routesOf({ network }: NicPlace): string[] {
  const routes = (network.routes ?? []).filter(({ to }) => !to.includes(':'));
  if (routes.length === 0) return [];
  const all = [...(leadsOut(network.mode) ? [{ to: '0.0.0.0/0', via: network.gateway }] : []), ...routes];
  return [`--dhcp-option=option:classless-static-route,${all.flatMap(({ to, via }) => [to, via]).join(',')}`];
}

/** Guests make addresses of their own there (RFC 4862); where nothing leads out the gateway is no router (lifetime 0). */
function ipv6Of({ network, bridge }: NicPlace, out: boolean): string[] {
  if (network.ipv6 === undefined) return [];
  const [prefix = ''] = network.ipv6.subnet.split('/');
  return ['--enable-ra', `--dhcp-range=${prefix},ra-stateless,64,1h`, ...(out ? [] : [`--ra-param=${bridge},0,0`])];
}
