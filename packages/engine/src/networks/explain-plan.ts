import type { ExplainAsk, ExplainCause, Explanation } from '@skerry/api';
import { LINK_POOL, SUBNET_POOL } from './addresses.ts';
import { isIn, isIpv6, isOnNetwork } from './explain-address-model.ts';
import { addressFor, endOf, sourceOf } from './explain-end-plan.ts';
import { explainFromHost, refuseBothOutside } from './explain-host-plan.ts';
import {
  cause,
  type FactNetwork,
  type FactVm,
  type NetFacts,
  networkOf,
  type Packet,
  type Step,
} from './explain-model.ts';
import { vmTrouble } from './explain-nic-plan.ts';
import { leadsOut, ownNicTrouble } from './explain-peer-plan.ts';
import { gatewayTrouble, serviceTrouble } from './explain-service-plan.ts';
import { noIpv6, walk, type Walk } from './explain-walk-plan.ts';

/** Whether A reaches B, and if not, the first thing that is in the way, with what mends it. Pure. */

/** @throws SkerryError `not-found`, `invalid` (an end that can't be one) */
export function explain(ask: ExplainAsk, facts: NetFacts): Explanation {
  const [from, to] = [endOf(ask.from, facts), endOf(ask.to, facts)];
  if (from.kind !== 'vm') {
    if (to.kind !== 'vm') return refuseBothOutside();
    return explainFromHost(from.kind === 'host' ? undefined : from.address, to.vm, ask, facts);
  }
  const notes = [from, to].flatMap((end) =>
    end.kind === 'vm' && end.vm.state === 'running' && end.vm.guest === undefined ? [UNSEEN(end.vm)] : [],
  );
  const target =
    to.kind === 'host'
      ? hostAddress(from.vm, facts)
      : (to.address ?? (to.kind === 'vm' ? addressFor(to.vm, from.vm, ask.ipv6, facts) : undefined));
  if (target === undefined) return no([], noAddress(to.kind === 'vm' ? to.vm : from.vm, ask.ipv6), notes);
  const asleep = vmTrouble(from.vm, facts);
  if (asleep !== undefined) return no([], asleep, notes);
  const packet: Packet = {
    from: sourceOf(from.vm, target, facts),
    to: target,
    protocol: ask.port === undefined ? 'icmp' : ask.protocol,
    port: ask.port,
  };
  const there = walk(from.vm, packet, facts, false);
  return concluded(there, packet, notes, facts);
}

/** Of the host, as a VM would name it: where it is a neighbour its address there, else one that it has. */
function hostAddress(from: FactVm, facts: NetFacts): string | undefined {
  const networks = from.nics.flatMap((nic) => networkOf(facts, nic.network) ?? []);
  const near = networks.find(({ mode, datapath }) => mode === 'host-only' && datapath === 'kernel');
  const own = facts.hostAddresses.find((address) => !address.includes('/') && !/^(?:127\.|169\.254\.)/.test(address));
  return near?.gateway ?? own ?? networks[0]?.gateway;
}

const UNSEEN = (vm: FactVm): string => `${vm.name} could not be asked: it is taken to be set up as it was told`;

function concluded({ steps, end }: Walk, packet: Packet, notes: readonly string[], facts: NetFacts): Explanation {
  switch (end.kind) {
    case 'stopped':
      return no(steps, end.cause, notes);
    case 'inside':
      return {
        reachable: 'unknown',
        path: [...steps],
        notes: [...notes, `${end.vm.name} sends ${packet.to} into ${end.device}, a device of its own`],
      };
    case 'gateway': {
      const closed = gatewayTrouble(end.network, packet);
      return closed === undefined
        ? { reachable: 'yes', path: [...steps], notes: [...notes] }
        : no(steps, closed, notes);
    }
    case 'foreign':
      return {
        reachable: 'unknown',
        path: [...steps],
        notes: [...notes, `${end.address} is no VM of this host: ${elsewhere(end.network)} was not looked at`],
      };
    case 'beyond': {
      const closed = beyondTrouble(end.network, end.vm, packet, facts);
      if (closed !== undefined) return no(steps, closed, notes);
      const out = { at: end.network.name, text: `through the host, to ${packet.to}` };
      return {
        reachable: 'yes',
        path: [...steps, out],
        notes: [...notes, 'What is beyond the host was not looked at.'],
      };
    }
    case 'vm': {
      const silent = serviceTrouble(end.vm, packet, facts);
      if (silent !== undefined) return no(steps, silent, notes);
      const back = walk(end.vm, { ...packet, from: packet.to, to: packet.from }, facts, true);
      if (back.end.kind === 'stopped') {
        const { message, ...rest } = back.end.cause;
        return no([...steps, ...back.steps], { ...rest, message: `on the way back, ${message}` }, notes);
      }
      return { reachable: 'yes', path: [...steps, ...arrived(end.vm, packet)], notes: [...notes] };
    }
  }
}

function no(steps: readonly Step[], why: ExplainCause, notes: readonly string[]): Explanation {
  return { reachable: 'no', path: [...steps], cause: why, notes: [...notes] };
}

function arrived(vm: FactVm, { port, protocol }: Packet): Step[] {
  if (port === undefined || vm.guest === undefined) return [];
  return [{ at: vm.name, text: `something listens at ${protocol}/${port}` }];
}

function elsewhere({ name, mode }: FactNetwork): string {
  return mode === 'overlay' ? `what other hosts have on ${name}` : `the LAN behind ${name}`;
}

function noAddress(vm: FactVm, isV6: boolean): ExplainCause {
  const [first] = vm.nics;
  if (first === undefined) {
    return cause('network', vm.name, `${vm.name} has no NIC`, `skerry nic add ${vm.name} --network default`);
  }
  return cause(
    'network',
    first.network,
    `${vm.name} has no ${isV6 ? 'IPv6' : 'IPv4'} address: the network ${first.network} gave it none`,
    isV6 ? 'Use a network that was made with --ipv6 fd00:50::/64, or IPv4.' : `skerry nic list ${vm.name}`,
  );
}

/** Loopback, link-local, multicast and what is above (RFC 6890), and where clouds keep their hosts' secrets. */
const NEVER_OUT = ['0.0.0.0/8', '127.0.0.0/8', '169.254.0.0/16', '224.0.0.0/3', 'fe80::/10', 'ff00::/8'];

/** What does not go out through the gateway of a network. */
function beyondTrouble(network: FactNetwork, from: FactVm, { to }: Packet, facts: NetFacts): ExplainCause | undefined {
  const other = facts.networks.find((each) => isOnNetwork(each, to));
  if (other !== undefined) {
    const own = ownNicTrouble(from, to, facts);
    if (own !== undefined) return own;
    // A LAN of the host's is a part of what lies beyond it.
    if (other.mode === 'bridged' && network.mode === 'nat') return undefined;
    return cause(
      'network',
      other.name,
      `${to} is on the network ${other.name}, ${from.name} is not: networks do not reach each other`,
      `skerry nic add ${from.name} --network ${other.name}`,
    );
  }
  if (facts.hostAddresses.some((range) => isIn(range, to))) {
    const isNear = network.mode === 'host-only' && network.datapath === 'kernel';
    return cause(
      'host',
      network.name,
      `${to} is the host: a network of mode ${network.mode} ${isNear ? 'leads to no other address of it than its own' : 'does not lead into it'}`,
      isNear ? `Use ${network.gateway}.` : 'skerry network create NAME --mode host-only --datapath kernel',
    );
  }
  const pool = [SUBNET_POOL, LINK_POOL].find((range) => isIn(range, to));
  if (network.mode === 'nat' && pool !== undefined) {
    const why = `${to} is of ${pool}, which is for networks of VMs, and none of them has it: nobody is led out to there`;
    return cause('network', network.name, why, 'skerry network list');
  }
  if (network.mode === 'nat' && NEVER_OUT.some((range) => isIn(range, to))) {
    const why = `${to} is an address of one link or of clouds' metadata: nobody is let there`;
    return cause('host', network.name, why, 'Name an address that is routed.');
  }
  if (!leadsOut(network, isIpv6(to), facts)) {
    if (network.ipv6 === undefined) return noIpv6(network, { from: '', to, protocol: 'icmp' });
    return cause(
      'network',
      network.name,
      `the network ${network.name} leads nowhere in IPv6: the host has no default route of it`,
      'Use IPv4, or give the host a way out: `ip -6 route` shows what it has.',
    );
  }
  if (network.mode !== 'nat') {
    return cause(
      'network',
      network.name,
      `the network ${network.name} is ${network.mode}: nothing leads out of it`,
      `skerry nic add ${from.name} --network default`,
    );
  }
  return undefined;
}
