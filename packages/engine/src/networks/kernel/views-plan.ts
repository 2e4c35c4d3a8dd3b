import { hostnameOf } from '@skerry/api';
import { reachesGateway } from '../names-plan.ts';
import type { OtherNetwork } from '../plan.ts';
import type { DnsServer } from './kernel-model.ts';
import { quoted, type NftChain, type NftSet } from './nft-model.ts';
import type { NicPlace, PlacedNic } from './places-plan.ts';

/**
 * DNS for VMs that are on further networks. A dnsmasq answers all alike, so those that are on the same networks have one of their
 * own, which knows the names of all of these; what they ask the gateway is led there. Pure.
 */

/** Of the gateway's address in a network; neither a well-known one nor one that connections are given (ip-sysctl). */
const FIRST_PORT = 25_300;

export interface View {
  /** The further networks' ids. */
  readonly key: string;
  readonly port: number;
  readonly others: readonly OtherNetwork[];
  readonly nics: readonly PlacedNic[];
}

export function viewsOf({ nics }: NicPlace): View[] {
  const byKey = new Map<string, PlacedNic[]>();
  for (const each of nics) {
    const key = (each.nic.others ?? [])
      .map(({ id }) => id)
      .toSorted()
      .join(' ');
    if (key !== '') byKey.set(key, [...(byKey.get(key) ?? []), each]);
  }
  return [...byKey]
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, members], place) => ({
      key,
      port: FIRST_PORT + place,
      others: members[0]?.nic.others ?? [],
      nics: members,
    }));
}

/** @param base arguments that all DNS servers of the network have */
export function viewServer(planned: NicPlace, netns: string | undefined, base: readonly string[], view: View) {
  const { network, vms } = planned;
  const domains = new Set([network, ...view.others].flatMap(({ domain }) => domain ?? []));
  const taken = new Set<string>();
  const lines = [network, ...view.others].flatMap(({ id, domain }) => {
    const here = vms.flatMap((vm) =>
      vm.nics.flatMap((nic) => (nic.networkId === id && reachesGateway(nic) ? [{ vm, nic }] : [])),
    );
    const told = here.flatMap(({ vm, nic }) => {
      // Of the same name on two networks the one that is asked knows its own.
      const names = namesIn(domain, hostnameOf(vm.name)).filter((name) => !taken.has(name));
      if (names.length === 0) return [];
      const line = (address: string | undefined) => (address === undefined ? [] : [`${address} ${names.join(' ')}\n`]);
      return [...line(nic.address), ...line(nic.address6)];
    });
    for (const { vm } of here) for (const name of namesIn(domain, hostnameOf(vm.name))) taken.add(name);
    return told;
  });
  const server: DnsServer = {
    networkId: network.id,
    view: view.key,
    netns,
    args: [
      ...base,
      `--port=${view.port}`,
      ...[...domains].map((domain) => `--local=/${domain}/`),
      '--addn-hosts={dir}/hosts',
    ],
    hosts: lines.join(''),
    dhcpHosts: '',
  };
  return server;
}

/** As a line of a hosts file has them: the first is what the address is called. */
export function namesIn(domain: string | undefined, name: string): string[] {
  return domain === undefined ? [name] : [`${name}.${domain}`, name];
}

export function viewSets(networks: readonly NicPlace[]): NftSet[] {
  const elements = (addressOf: (each: PlacedNic) => string | undefined): string[] =>
    networks
      .flatMap((planned) =>
        viewsOf(planned).flatMap(({ nics, port }) =>
          nics.flatMap((each) => {
            const address = addressOf(each);
            return address === undefined ? [] : [`${quoted(planned.bridge)} . ${address} : ${port}`];
          }),
        ),
      )
      .toSorted();
  const map = (name: string, type: string, all: readonly string[]): NftSet => ({
    kind: 'map',
    name,
    type: `ifname . ${type} : inet_service`,
    elements: all,
  });
  return [
    map(
      'dns_views',
      'ipv4_addr',
      elements(({ nic }) => nic.address),
    ),
    map(
      'dns_views6',
      'ipv6_addr',
      elements(({ nic }) => nic.address6),
    ),
  ];
}

export function viewChain(): NftChain {
  const redirect = (ip: string, suffix: string) =>
    `iifname . ${ip} daddr @gateways${suffix} meta l4proto { tcp, udp } th dport 53 redirect to :iifname . ${ip} saddr map @dns_views${suffix}`;
  return {
    name: 'views',
    // Before forwards are looked at: nobody's forward is a gateway's port 53.
    hook: 'type nat hook prerouting priority -101; policy accept;',
    rules: [redirect('ip', ''), redirect('ip6', '6')],
  };
}

/** Only what was led there: a port of another's view is closed. */
export function viewInput(networks: readonly NicPlace[]): string[] {
  const ports = [...new Set(networks.flatMap((planned) => viewsOf(planned).map(({ port }) => port)))].toSorted(
    (a, b) => a - b,
  );
  if (ports.length === 0) return [];
  const asked = `ct status dnat meta l4proto { tcp, udp } th dport { ${ports.join(', ')} } accept`;
  return [`iifname . ip daddr @gateways ${asked}`, `iifname . ip6 daddr @gateways6 ${asked}`];
}
