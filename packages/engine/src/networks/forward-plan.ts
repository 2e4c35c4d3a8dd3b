import {
  SkerryError,
  type ForwardKey,
  type Network,
  type NetworkForward,
  type NetworkSpec,
  type Vm,
} from '@skerry/api';
import type { PortForward } from './forward.ts';

/** Ports of the host that lead into a network. Pure. */

/** @throws SkerryError `in-use`: a port of the host is to lead to two places; `invalid`: UDP into a link */
export function checkForwards({ mode, forwards = [] }: Pick<NetworkSpec, 'mode' | 'forwards'>): void {
  if (mode === 'link' && forwards.some(({ protocol }) => protocol === 'udp')) {
    throw new SkerryError('invalid', 'A link is a wire with two ends: no datagrams come into it from the host', {
      remedy: 'Forward to a VM on a network of mode nat or isolated.',
    });
  }
  for (const [index, forward] of forwards.entries()) {
    const other = forwards.slice(0, index).find((each) => isSameEnd(each, forward));
    if (other !== undefined) throw taken(other);
  }
}

/** The same again changes nothing. @throws SkerryError `in-use`, `not-found` (the VM is not on the network) */
export function withForward(
  spec: NetworkSpec,
  forward: NetworkForward,
  network: string,
  vms: readonly Pick<Vm, 'id' | 'name' | 'status'>[],
): NetworkSpec {
  const vm = vms.find(({ id, name }) => name === forward.vm || id === forward.vm);
  if (vm === undefined) {
    throw new SkerryError('not-found', `There is no VM '${forward.vm}'`, {
      remedy: `Make it first: \`skerry create ${forward.vm} --network ${network} --start\`.`,
    });
  }
  if (!vm.status.nics.some((nic) => nic.network === network)) {
    throw new SkerryError('invalid', `${vm.name} is not on the network '${network}'`, {
      remedy: `Name a VM that is on it (\`skerry network show ${network}\`), or the network that ${vm.name} is on.`,
    });
  }
  const wanted = { ...forward, vm: vm.name };
  const before = spec.forwards ?? [];
  const other = before.find((each) => isSameEnd(each, wanted));
  if (other === undefined) return { ...spec, forwards: [...before, wanted] };
  if (other.vm === wanted.vm && other.guestPort === wanted.guestPort) return spec;
  throw taken(other);
}

/** @throws SkerryError `not-found` */
export function withoutForward(spec: NetworkSpec, key: ForwardKey): NetworkSpec {
  const before = spec.forwards ?? [];
  const left = before.filter((each) => !isSameEnd(each, key));
  if (left.length < before.length) return { ...spec, forwards: left };
  const there = before.map(({ hostAddress, hostPort, protocol }) => `${hostAddress}:${hostPort}/${protocol}`);
  throw new SkerryError('not-found', `${key.hostAddress}:${key.hostPort}/${key.protocol} is not forwarded`, {
    remedy: there.length === 0 ? 'This network has no forwards.' : `Name one of ${there.join(', ')}.`,
  });
}

function isSameEnd(a: ForwardKey, b: ForwardKey): boolean {
  return a.hostPort === b.hostPort && a.hostAddress === b.hostAddress && a.protocol === b.protocol;
}

function taken({ hostAddress, hostPort, vm, guestPort }: NetworkForward): SkerryError {
  return new SkerryError('in-use', `Port ${hostPort} of ${hostAddress} leads to ${vm}:${guestPort} already`, {
    remedy: 'Choose another port of the host, or remove that forward first.',
    details: { hostAddress, hostPort },
  });
}

/**
 * What the host listens at for networks: TCP goes in through the agents of the VMs, UDP is the datapath's.
 * @param vms those that can be reached; forwards to others wait for them
 */
export function networkForwards(
  networks: readonly Pick<Network, 'name' | 'spec'>[],
  vms: readonly Pick<Vm, 'id' | 'name' | 'status'>[],
): PortForward[] {
  return networks.flatMap(({ name: network, spec }) =>
    (spec.forwards ?? []).flatMap(({ protocol, hostAddress, hostPort, vm: ref, guestPort }) => {
      const vm = vms.find(({ id, name }) => name === ref || id === ref);
      if (protocol !== 'tcp' || vm?.status.nics.some((nic) => nic.network === network) !== true) return [];
      return [{ hostAddress, hostPort, to: { vmId: vm.id, port: guestPort } }];
    }),
  );
}

/**
 * UDP ports of the host that a network asks for, beside those that it has.
 * @param others all other networks
 * @throws SkerryError `in-use`: one of the others has it
 */
export function newUdpEnds(
  changed: Pick<Network, 'spec'>,
  before: Pick<Network, 'spec'> | undefined,
  others: readonly Pick<Network, 'spec'>[],
): NetworkForward[] {
  const udpOf = ({ spec }: Pick<Network, 'spec'>) => (spec.forwards ?? []).filter(({ protocol }) => protocol === 'udp');
  const had = before === undefined ? [] : udpOf(before);
  const asked = udpOf(changed).filter((forward) => !had.some((each) => isSameEnd(each, forward)));
  const clash = others.flatMap(udpOf).find((other) => asked.some((forward) => isSameEnd(other, forward)));
  if (clash !== undefined) throw taken(clash);
  return asked;
}

/** Where the host is to listen once all VMs run. */
export function hostEnds(networks: readonly Pick<Network, 'spec'>[]): PortForward[] {
  return networks.flatMap(({ spec }) =>
    (spec.forwards ?? []).flatMap(({ protocol, hostAddress, hostPort, vm, guestPort }) =>
      protocol === 'tcp' ? [{ hostAddress, hostPort, to: { vmId: vm, port: guestPort } }] : [],
    ),
  );
}
