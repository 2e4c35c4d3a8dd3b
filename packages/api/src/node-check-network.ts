import type { NodeProblem } from './node-check.ts';
import type { NodeNetwork, NodeSpec } from './node.ts';
import { replicasOf } from './node-replicas.ts';

/** What of a node's networks no single field can tell: VMs that they name, ports of the host, fields that contradict. */

/** @param ports of the host that VMs have taken: 'ADDRESS:PORT' -> VM; those of networks are added */
export function networkProblems(spec: NodeSpec, ports: Map<string, string>): NodeProblem[] {
  const each = Object.entries(spec.networks).flatMap(([name, network]) => [
    ...modeProblems(name, network),
    ...forwardProblems(name, network, spec, ports),
    ...aclProblems(name, network, spec),
  ]);
  return [...each, ...linkEndProblems(spec)];
}

/** A wire has two ends, and they are at two VMs. */
function linkEndProblems(spec: NodeSpec): NodeProblem[] {
  const problems: NodeProblem[] = [];
  for (const [name, { mode }] of Object.entries(spec.networks)) {
    if (mode !== 'link') continue;
    const ends = Object.entries(spec.vms).flatMap(([vm, { nics }]) =>
      nics.flatMap(({ network }) => (network === name ? [vm] : [])),
    );
    if (ends.length !== 2 || ends[0] === ends[1]) {
      problems.push({
        path: ['links'],
        message: `the link ${name} is between ${ends.length === 0 ? 'no VMs' : ends.join(' and ')}`,
        remedy: 'A link is a wire between NICs of two VMs; more than two VMs meet on a network.',
      });
    }
    const several = ends.find((vm) => (spec.vms[vm]?.replicas ?? 1) > 1);
    if (several !== undefined) {
      problems.push({
        path: ['vms', several, 'replicas'],
        message: `${several} is at the end of the link ${name}, so there can be one of it only`,
        remedy: 'Leave the replicas out, or put the VMs on a network instead of a link.',
      });
    }
  }
  return problems;
}

function modeProblems(name: string, { mode, egress }: NodeNetwork): NodeProblem[] {
  if (egress || mode !== 'nat') return [];
  return [
    {
      path: ['networks', name, 'egress'],
      message: `${name} is of mode nat, which leads out, and has egress: false`,
      remedy: 'Take one of the two out.',
    },
  ];
}

function forwardProblems(
  name: string,
  { forwards = [] }: NodeNetwork,
  { vms }: NodeSpec,
  ports: Map<string, string>,
): NodeProblem[] {
  return forwards.flatMap(({ vm, hostAddress, hostPort, protocol }, index): NodeProblem[] => {
    const path = ['networks', name, 'forward', index];
    if (vms[vm]?.nics.some(({ network }) => network === name) !== true) {
      const there = Object.keys(vms).filter((each) => vms[each]?.nics.some(({ network }) => network === name));
      return [
        {
          path,
          message: `'${vm}' is no VM of this node that is on ${name}`,
          remedy: there.length === 0 ? `Put a VM on ${name}.` : `Name one of ${there.join(', ')}.`,
        },
      ];
    }
    // A port of TCP and one of UDP are two.
    const key = `${hostAddress}:${hostPort}${protocol === 'udp' ? '/udp' : ''}`;
    const other = ports.get(key);
    ports.set(key, vm);
    if (other === undefined) return [];
    return [
      {
        path,
        message: `port ${key} is forwarded to both ${other} and ${vm}`,
        remedy: 'Give each forward a host port of its own.',
      },
    ];
  });
}

function aclProblems(name: string, { acl }: NodeNetwork, { vms }: NodeSpec): NodeProblem[] {
  const known = new Set(Object.entries(vms).flatMap(([vm, declared]) => replicasOf(vm, declared)));
  for (const vm of Object.keys(vms)) known.add(vm);
  return (acl?.rules ?? []).flatMap(({ from, to, nic }, index) => {
    const named = [from, to, ...(nic === undefined ? [] : [nic.replace(/:eth\d$/, '')])];
    const unknown = named.filter((each) => isOwnVm(each) && !known.has(each));
    return unknown.map((each) => ({
      path: ['networks', name, 'acl', 'rules', index],
      message: `'${each}' is no VM of this node`,
      remedy: `Name one of ${[...known].join(', ')}, NODE/VM, an address, a range or any.`,
    }));
  });
}

/** Written as a VM of the node itself: no address, no VM of another node. */
export function isOwnVm(end: string): boolean {
  return end !== 'any' && !/[.:/]/.test(end);
}
