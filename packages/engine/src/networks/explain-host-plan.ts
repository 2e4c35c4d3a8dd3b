import { type ExplainAsk, type ExplainCause, type Explanation, SkerryError } from '@skerry/api';
import { givenAddress } from './explain-address-model.ts';
import {
  cause,
  type FactForward,
  type FactNetwork,
  type FactNic,
  type FactVm,
  type NetFacts,
  networkOf,
  nicName,
  type Step,
} from './explain-model.ts';
import { addressTrouble, nicTrouble, vmTrouble } from './explain-nic-plan.ts';
import { serviceTrouble } from './explain-service-plan.ts';
import { gatewayVlanTrouble } from './explain-vlan-plan.ts';

/** How a VM is reached from the host, or from beyond it: as a neighbour where the host is on the network, else by a forward. Pure. */

/** @param from undefined: the host itself */
export function explainFromHost(from: string | undefined, to: FactVm, ask: ExplainAsk, facts: NetFacts): Explanation {
  const notes = to.guest === undefined && to.state === 'running' ? [`${to.name} could not be asked`] : [];
  const no = (why: ExplainCause, path: readonly Step[] = []): Explanation => ({
    reachable: 'no',
    path: [...path],
    cause: why,
    notes,
  });
  const asleep = vmTrouble(to, facts);
  if (asleep !== undefined) return no(asleep);
  const near = to.nics
    .map((nic) => ({ nic, network: networkOf(facts, nic.network) }))
    .find(({ network }) => network !== undefined && isHostOn(network, from));
  if (near?.network !== undefined) {
    const path: Step[] = [
      { at: from === undefined ? 'host' : near.network.name, text: `on the network ${near.network.name} itself` },
    ];
    const trouble = nearTrouble(to, near.nic, ask, facts);
    if (trouble !== undefined) return no(trouble, path);
    path.push({ at: nicName(to, near.nic), text: `${givenAddress(near.nic, ask.ipv6)} in ${to.name}` });
    return { reachable: 'yes', path, notes: from === undefined ? notes : [...notes, 'The LAN was not looked at.'] };
  }
  const forward = forwardFor(from, to, ask, facts);
  if ('kind' in forward) return no(forward);
  const { hostAddress, hostPort, guestPort, protocol, network } = forward;
  const path: Step[] = [
    {
      at: 'host',
      text: `${hostAddress}:${hostPort} is forwarded to ${to.name}:${guestPort}${network === undefined ? '' : `, by ${network}`}`,
    },
  ];
  const trouble = forwardTrouble(to, forward, facts);
  if (trouble !== undefined) return no(trouble, path);
  return {
    reachable: 'yes',
    path: [...path, { at: to.name, text: `something listens at ${protocol}/${guestPort}` }],
    notes: from === undefined ? notes : [...notes, `What is between ${from} and this host was not looked at.`],
  };
}

/** The host has an address on bridges of its own; on a LAN everybody is. */
function isHostOn({ mode, datapath }: FactNetwork, from: string | undefined): boolean {
  if (mode === 'bridged') return true;
  return from === undefined && datapath === 'kernel' && (mode === 'nat' || mode === 'host-only');
}

function nearTrouble(to: FactVm, nic: FactNic, ask: ExplainAsk, facts: NetFacts): ExplainCause | undefined {
  const address = givenAddress(nic, ask.ipv6);
  return (
    gatewayVlanTrouble({ vm: to, nic }, nic.vlan) ??
    nicTrouble(to, nic, 'in', facts) ??
    addressTrouble(to, nic, ask.ipv6, facts) ??
    serviceTrouble(to, { to: address, port: ask.port, protocol: ask.protocol }, facts) ??
    nicTrouble(to, nic, 'out', facts)
  );
}

function forwardFor(
  from: string | undefined,
  to: FactVm,
  ask: ExplainAsk,
  facts: NetFacts,
): FactForward | ExplainCause {
  const network = to.nics[0]?.network;
  const who = from === undefined ? 'the host' : from;
  if (ask.port === undefined || network === undefined) {
    return cause(
      'network',
      network ?? to.name,
      `${who} is not on ${network === undefined ? 'any network' : `the network ${network}`} of ${to.name}: it can not be pinged from there, only ports can be forwarded`,
      `Name the port: \`skerry network explain ${from ?? 'host'} ${to.name}:80\`.`,
    );
  }
  const { port, protocol } = ask;
  const there = (facts.forwards ?? []).filter(
    (each) => each.vm === to.name && each.guestPort === port && each.protocol === protocol,
  );
  const open = there.find(({ hostAddress }) => from === undefined || !isLoopback(hostAddress));
  if (open !== undefined) return open;
  const [closed] = there;
  const proto = protocol === 'udp' ? ' --proto udp' : '';
  const hostPort = closed?.hostPort ?? (port < 1024 ? port + 8000 : port);
  const line = `skerry network forward add ${network} --host ${from === undefined ? '' : '0.0.0.0:'}${hostPort} --to ${to.name}:${port}${proto}`;
  return closed === undefined
    ? cause(
        'network',
        network,
        `${who} is not on the network ${network}, and no port of the host is forwarded to ${to.name}:${port}`,
        line,
      )
    : cause(
        'host',
        `${closed.hostAddress}:${closed.hostPort}`,
        `${closed.hostAddress}:${closed.hostPort} leads to ${to.name}:${port}, and only the host itself reaches that address`,
        line,
      );
}

/** TCP goes in through the agent, to the guest's own loopback; UDP through the network; both through it in the kernel. */
function forwardTrouble(to: FactVm, forward: FactForward, facts: NetFacts): ExplainCause | undefined {
  const { guestPort: port, protocol } = forward;
  const network = forward.network === undefined ? undefined : networkOf(facts, forward.network);
  const byNetwork = network !== undefined && (protocol === 'udp' || network.datapath === 'kernel');
  if (!byNetwork) {
    if (to.hasAgent === false) {
      return cause(
        'vm',
        to.name,
        `the agent of ${to.name} does not answer, and forwards go through it`,
        `skerry info ${to.name}`,
      );
    }
    return serviceTrouble(to, { to: '127.0.0.1', port, protocol }, facts);
  }
  const nic = to.nics.find((each) => each.network === network.name);
  if (nic === undefined) {
    const remedy = `skerry nic add ${to.name} --network ${network.name}`;
    return cause('network', network.name, `${to.name} is not on the network ${network.name}`, remedy);
  }
  return nearTrouble(to, nic, { from: 'host', to: to.name, port, protocol, ipv6: false }, facts);
}

function isLoopback(address: string): boolean {
  return address.startsWith('127.') || address === '::1' || address === 'localhost';
}

/** @throws SkerryError `invalid` */
export function refuseBothOutside(): never {
  throw new SkerryError('invalid', 'Neither end is a VM: what is between others is not ours to explain', {
    remedy: 'Name a VM, or an address of one, such as: skerry network explain host web:80.',
  });
}
