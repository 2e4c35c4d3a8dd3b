import type { Acl, AclRule, NetworkForward } from '@skerry/api';
import type { SegmentAcl, SegmentAclRule, UdpForward } from '@skerry/switch';
import type { PlannedVm } from './plan.ts';

/** Rules and forwards name VMs; who carries frames knows addresses. Pure. */

type Known = Pick<PlannedVm, 'id' | 'name' | 'nics'>;

/**
 * A rule of a VM or NIC that is not plugged in fits no packet, so it is left out: nobody else can send from its addresses.
 */
export function segmentAcl(acl: Acl, vms: readonly Known[]): SegmentAcl {
  return {
    default: acl.default,
    rules: acl.rules.flatMap((rule, index) => ruleFor({ ...rule, id: rule.id ?? index + 1 }, vms)),
  };
}

function ruleFor(rule: AclRule & { readonly id: number }, vms: readonly Known[]): SegmentAclRule[] {
  const from = addressesOf(rule.from, vms);
  const to = addressesOf(rule.to, vms);
  const portId = rule.nic === undefined ? undefined : portOf(rule.nic, vms);
  if (from?.length === 0 || to?.length === 0 || (rule.nic !== undefined && portId === undefined)) return [];
  return [
    {
      id: rule.id,
      action: rule.action,
      ...(from === undefined ? {} : { from }),
      ...(to === undefined ? {} : { to }),
      ...(rule.protocol === undefined ? {} : { protocol: rule.protocol }),
      ...(rule.ports === undefined ? {} : { ports: rule.ports }),
      ...(portId === undefined ? {} : { portId }),
    },
  ];
}

/** @returns undefined for any */
function addressesOf(end: string, vms: readonly Known[]): string[] | undefined {
  if (end === 'any') return undefined;
  if (end.includes(':') || end.includes('.')) return [end];
  const vm = vms.find(({ id, name }) => name === end || id === end);
  return (vm?.nics ?? []).flatMap(({ address, address6 }) => [
    ...(address === '' ? [] : [address]),
    ...(address6 === undefined ? [] : [address6]),
  ]);
}

/** `web:eth0` */
function portOf(nic: string, vms: readonly Known[]): string | undefined {
  const [, name, number] = /^(.*):eth(\d+)$/.exec(nic) ?? [];
  const vm = vms.find((each) => each.name === name || each.id === name);
  const has = vm?.nics.some((each, place) => (each.index ?? place) === Number(number));
  return vm === undefined || has !== true ? undefined : `${vm.id}/${number}`;
}

/** Those to VMs that are plugged in; TCP goes through the agent instead, which needs no network. */
export function udpForwardsFor(
  networkId: string,
  forwards: readonly NetworkForward[],
  vms: readonly Known[],
): UdpForward[] {
  return forwards.flatMap(({ protocol, vm: ref, hostAddress, hostPort, guestPort }) => {
    if (protocol !== 'udp') return [];
    const vm = vms.find(({ id, name }) => name === ref || id === ref);
    const address = vm?.nics.find((nic) => nic.networkId === networkId)?.address;
    return address === undefined || address === '' ? [] : [{ hostAddress, hostPort, address, guestPort }];
  });
}
