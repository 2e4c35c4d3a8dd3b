import { SkerryError, type Acl, type AclAdd, type AclRule, type Network, type Vm } from '@skerry/api';

/** What may pass in a network, as it is asked for and changed. Pure. */

const NO_ACL: Acl = { default: 'allow', rules: [] };

/** VM:eth0 */
const NIC = /^(.+):eth(\d)$/;

/** Of a network that was given none: all may pass. */
export function aclOf({ spec }: Pick<Network, 'spec'>): Acl {
  return spec.acl ?? NO_ACL;
}

/** Rules that were given no number get one: they are named by it. */
export function withRuleIds(acl: Acl): Acl {
  let next = nextId(acl);
  return { ...acl, rules: acl.rules.map((rule) => ({ ...rule, id: rule.id ?? next++ })) };
}

function nextId({ rules }: Acl): number {
  return 1 + Math.max(0, ...rules.map(({ id = 0 }) => id));
}

/** @throws SkerryError `invalid` */
export function checkAcl(acl: Acl | undefined): void {
  const seen = new Set<number>();
  for (const rule of acl?.rules ?? []) {
    checkRule(rule);
    if (rule.id !== undefined && seen.has(rule.id)) {
      throw new SkerryError('invalid', `Two rules have the number ${rule.id}`, { remedy: 'Leave the numbers out.' });
    }
    if (rule.id !== undefined) seen.add(rule.id);
  }
}

function checkRule({ protocol, ports, nic }: AclRule): void {
  if (ports !== undefined && protocol !== 'tcp' && protocol !== 'udp') {
    throw new SkerryError('invalid', 'Ports belong to TCP or UDP', {
      remedy: 'Write --proto tcp or --proto udp as well.',
    });
  }
  if (ports !== undefined && ports.from > ports.to) {
    throw new SkerryError('invalid', `${ports.from}-${ports.to} is no range of ports`, {
      remedy: 'Write the lower one first.',
    });
  }
  if (nic !== undefined && !NIC.test(nic)) {
    throw new SkerryError('invalid', `'${nic}' is no NIC`, { remedy: 'Write VM:eth0, or VM:eth1 for the second one.' });
  }
}

type Known = Pick<Vm, 'id' | 'name' | 'status'>;

/**
 * After those that there are. The same rule once more changes nothing: the first of the two would decide in any case.
 * @throws SkerryError `invalid`, `not-found` (a VM, a NIC on this network)
 */
export function withRule(acl: Acl, rule: AclAdd, network: string, vms: readonly Known[]): Acl {
  checkRule(rule);
  const named = { ...rule, from: endOf(rule.from, vms), to: endOf(rule.to, vms) };
  const wanted = rule.nic === undefined ? named : { ...named, nic: nicOf(rule.nic, network, vms) };
  if (acl.rules.some((each) => saysTheSame(each, wanted))) return acl;
  return { ...acl, rules: [...acl.rules, { id: nextId(acl), ...wanted }] };
}

/** @throws SkerryError `not-found` */
export function withoutRule(acl: Acl, id: number): Acl {
  const left = acl.rules.filter((rule) => rule.id !== id);
  if (left.length < acl.rules.length) return { ...acl, rules: left };
  const there = acl.rules.map((rule) => rule.id).join(', ');
  throw new SkerryError('not-found', `There is no rule ${id}`, {
    remedy: there === '' ? 'This network has no rules.' : `Name one of ${there}.`,
  });
}

/** 'web -> web:80, tcp' and the like, for people. */
export function describeRule({ action, from, to, protocol, ports, nic }: AclRule): string {
  const range = ports === undefined ? '' : ports.from === ports.to ? ` ${ports.from}` : ` ${ports.from}-${ports.to}`;
  const at = nic === undefined ? '' : ` at ${nic}`;
  return `${action} ${protocol ?? 'all'}${range} from ${from} to ${to}${at}`;
}

function saysTheSame(a: AclRule, b: AclAdd): boolean {
  return describeRule(a) === describeRule(b);
}

/** A VM's name, whatever it was called by. */
function endOf(end: string, vms: readonly Known[]): string {
  if (end === 'any' || end.includes(':') || end.includes('.')) return end;
  return vmOf(end, vms).name;
}

function nicOf(nic: string, network: string, vms: readonly Known[]): string {
  const [, ref = '', number = ''] = NIC.exec(nic) ?? [];
  const vm = vmOf(ref, vms);
  const there = vm.status.nics.flatMap((each, place) =>
    each.network === network ? [`${vm.name}:eth${each.index ?? place}`] : [],
  );
  const found = there.find((each) => each === `${vm.name}:eth${number}`);
  if (found !== undefined) return found;
  throw new SkerryError('not-found', `${nic} is not on the network '${network}'`, {
    remedy:
      there.length === 0
        ? `Name a NIC of a VM that is on it: \`skerry network show ${network}\`.`
        : `Name ${there.join(' or ')}.`,
  });
}

function vmOf(ref: string, vms: readonly Known[]): Known {
  const vm = vms.find(({ id, name }) => name === ref || id === ref);
  if (vm !== undefined) return vm;
  throw new SkerryError('not-found', `There is no VM '${ref}'`, {
    remedy: 'Name a VM that `skerry list` shows, an address, a range such as 10.0.0.0/24, or any.',
  });
}
