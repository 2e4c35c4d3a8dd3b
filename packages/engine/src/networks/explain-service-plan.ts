import type { ExplainCause } from '@skerry/api';
import { isIpv6 } from './explain-address-model.ts';
import { cause, type FactNetwork, type FactVm, guestOf, type NetFacts, type Packet } from './explain-model.ts';

/** Pure: whether something takes what arrives. */

const DNS_PORT = 53;

export function gatewayTrouble(network: FactNetwork, { port, protocol, to }: Packet): ExplainCause | undefined {
  const { name, mode, datapath } = network;
  // In the kernel host-only is the host itself, with all that listens there.
  if (port === undefined || port === DNS_PORT || (mode === 'host-only' && datapath === 'kernel')) return undefined;
  return cause(
    'service',
    name,
    `the gateway ${to} answers ping, DNS and DHCP, and has nothing at ${protocol}/${port}`,
    'Name the VM that has the service.',
  );
}

/** Of a guest that could not be asked nothing is said. @param to the address that it comes to in the guest */
export function serviceTrouble(
  vm: FactVm,
  { to, port, protocol }: Pick<Packet, 'to' | 'port' | 'protocol'>,
  facts: NetFacts,
): ExplainCause | undefined {
  if (port === undefined || vm.guest === undefined) return undefined;
  const sockets = guestOf(vm, facts).listening.filter((each) => each.port === port && each.protocol === protocol);
  const all = isIpv6(to) ? ['::', to] : ['::', '0.0.0.0', to];
  if (sockets.some(({ address }) => all.includes(address))) return undefined;
  const what = `${protocol}/${port}`;
  const [other] = sockets;
  return cause(
    'service',
    vm.name,
    other === undefined
      ? `nothing in ${vm.name} listens at ${what}`
      : `in ${vm.name} ${what} is listened to at ${other.address} only, not at ${to}`,
    other === undefined
      ? `skerry logs ${vm.name}`
      : `Have it listen at ${isIpv6(to) ? '::' : '0.0.0.0'} (\`skerry exec ${vm.name} -- netstat -ln\`).`,
  );
}
