import { type ExplainCause, hostnameOf } from '@skerry/api';
import { givenAddress, isIpv6, prefixOf } from './explain-address-model.ts';
import {
  cause,
  changeNic,
  type FactNic,
  type FactVm,
  guestOf,
  interfaceOf,
  type NetFacts,
  networkOf,
  nicName,
} from './explain-model.ts';

/** Pure: what can be wrong with a VM, and with one of its NICs. */

const WAKE: Readonly<Partial<Record<FactVm['state'], string>>> = {
  paused: 'resume',
  starting: 'wait',
  stopping: 'wait',
};

export function vmTrouble(vm: FactVm, facts: NetFacts): ExplainCause | undefined {
  if (vm.state !== 'running') {
    return cause('vm', vm.name, `${vm.name} is ${vm.state}`, `skerry ${WAKE[vm.state] ?? 'start'} ${vm.name}`);
  }
  const frozen = facts.faults.find(({ spec }) => spec.kind === 'freeze' && spec.vm === vm.name);
  if (frozen === undefined) return undefined;
  return cause(
    'fault',
    frozen.name,
    `${vm.name} stands still by the fault ${frozen.name}`,
    `skerry fault clear ${frozen.name}`,
  );
}

/**
 * What keeps frames from passing between the guest and the segment.
 * @param dir `out`: sent by the guest; `in`: on their way to it
 */
export function nicTrouble(vm: FactVm, nic: FactNic, dir: 'in' | 'out', facts: NetFacts): ExplainCause | undefined {
  const name = nicName(vm, nic);
  if (!nic.linkUp) return cause('nic', name, `the link of ${name} is down`, changeNic(vm, nic, '--link up'));
  const fault = facts.faults.find(({ spec }) => stops(spec, name, dir));
  if (fault !== undefined) {
    const what = fault.spec.kind === 'link-down' ? 'the link is down' : 'nothing passes';
    return cause(
      'fault',
      fault.name,
      `${what} at ${name} by the fault ${fault.name}`,
      `skerry fault clear ${fault.name}`,
    );
  }
  if (nic.lost?.[dir] === true) {
    const whose = vm.name.includes('/') ? vm.name.slice(0, vm.name.indexOf('/')) : vm.name;
    return cause(
      'nic',
      name,
      `all that ${name} ${dir === 'out' ? 'sends' : 'gets'} is lost: its node says so`,
      `Take the loss out of \`impair\` in the file of ${whose}, and \`skerry up\` again.`,
    );
  }
  const own = interfaceOf(guestOf(vm, facts), nic);
  if (own === undefined) {
    return cause(
      'nic',
      name,
      `the guest has no interface with the MAC ${nic.mac} of ${name}`,
      `skerry restart ${vm.name}`,
    );
  }
  if (!own.isUp) {
    return cause(
      'nic',
      name,
      `${own.name} in ${vm.name} is down`,
      `skerry exec ${vm.name} -- ip link set ${own.name} up`,
    );
  }
  if (nic.connected === false) {
    return cause('port', name, `${name} is not connected to the switch`, `skerry restart ${vm.name}`);
  }
  return undefined;
}

function stops(spec: NetFacts['faults'][number]['spec'], nic: string, dir: 'in' | 'out'): boolean {
  if (spec.kind === 'link-down') return spec.nic === nic;
  // a2b is what the NIC sends.
  return (
    spec.kind === 'impair' &&
    spec.nic === nic &&
    spec.impairment.loss === 1 &&
    (spec.dir === 'both' || spec.dir === (dir === 'out' ? 'a2b' : 'b2a'))
  );
}

/** That the guest has the address that the network gave it; a router and the end of a link may have others. */
export function addressTrouble(vm: FactVm, nic: FactNic, isV6: boolean, facts: NetFacts): ExplainCause | undefined {
  const own = interfaceOf(guestOf(vm, facts), nic);
  const network = networkOf(facts, nic.network);
  const given = givenAddress(nic, isV6);
  if (own === undefined || network === undefined || given === '' || own.addresses.includes(given)) return undefined;
  const there = own.addresses.filter((address) => isIpv6(address) === isV6);
  const prefix = prefixOf((isV6 ? network.ipv6?.subnet : network.subnet) ?? '0.0.0.0/24');
  const has = there.length === 0 ? 'no address' : there.join(', ');
  return cause(
    'address',
    nicName(vm, nic),
    `${own.name} in ${vm.name} has ${has} instead of ${given}: what it sends from another address is dropped`,
    `skerry exec ${vm.name} -- ip address add ${given}/${prefix} dev ${own.name}`,
  );
}

/** Two groups of a node that a fault keeps apart. */
export function partitionBetween(a: FactVm, b: FactVm, facts: NetFacts): ExplainCause | undefined {
  for (const { name, spec } of facts.faults) {
    if (spec.kind !== 'partition') continue;
    const inNode = [a, b].every((vm) => vm.name.startsWith(`${spec.node}/`));
    const groupOf = (vm: FactVm) => spec.groups.findIndex((group) => group.includes(hostnameOf(vm.name)));
    if (!inNode || groupOf(a) === groupOf(b)) continue;
    return cause(
      'fault',
      name,
      `${a.name} and ${b.name} are kept apart by the fault ${name}`,
      `skerry fault clear ${name}`,
    );
  }
  return undefined;
}
