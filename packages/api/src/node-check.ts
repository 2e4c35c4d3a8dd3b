import type { NodeSpec } from './node.ts';
import { isName } from './names.ts';
import { networkProblems } from './node-check-network.ts';
import { nicProblems } from './node-check-nics.ts';
import { replicasOf } from './node-replicas.ts';

/** What no single field can tell: references, cycles, ports twice. Each problem names the path of the field it is about. */
export interface NodeProblem {
  /** Path in the node file, such as ['vms', 'web', 'dependsOn']. */
  readonly path: readonly (string | number)[];
  readonly message: string;
  readonly remedy: string;
}

export function checkNodeSpec(spec: NodeSpec): NodeProblem[] {
  const problems: NodeProblem[] = [];
  const names = Object.keys(spec.vms);
  const networks = Object.keys(spec.networks);
  const ports = new Map<string, string>();
  for (const [name, vm] of Object.entries(spec.vms)) {
    for (const { vm: target } of vm.dependsOn) {
      if (!names.includes(target)) {
        problems.push({
          path: ['vms', name, 'dependsOn'],
          message: `${name} depends on '${target}', which is no VM of this node`,
          remedy: `Name one of ${names.join(', ')}, or declare '${target}' under vms.`,
        });
      }
    }
    for (const { network } of vm.nics) {
      if (!networks.includes(network)) {
        problems.push({
          path: ['vms', name, 'networks'],
          message: `${name} is on the network '${network}', which is not declared`,
          remedy: `Declare it under networks, or name one of ${networks.join(', ')}.`,
        });
      }
    }
    for (const { hostAddress, hostPort } of vm.forwards) {
      const key = `${hostAddress}:${hostPort}`;
      const other = ports.get(key);
      if (other !== undefined) {
        problems.push({
          path: ['forward'],
          message: `port ${key} is forwarded to both ${other} and ${name}`,
          remedy: 'Give each forward a host port of its own.',
        });
      }
      ports.set(key, name);
    }
  }
  problems.push(
    ...networkProblems(spec, ports),
    ...nicProblems(spec),
    ...impairProblems(spec),
    ...replicaProblems(spec),
  );
  const cycle = dependencyCycle(spec);
  if (cycle !== undefined) {
    problems.push({
      path: ['vms', cycle[0] ?? '', 'dependsOn'],
      message: `dependsOn goes in a circle: ${[...cycle, cycle[0]].join(' -> ')}`,
      remedy: 'Take one of these dependencies out.',
    });
  }
  return problems;
}

function impairProblems({ vms, impair = [] }: NodeSpec): NodeProblem[] {
  return impair.flatMap(({ nic }, index) => {
    const [vm = '', name = ''] = nic.split(':');
    const count = vms[vm]?.nics.length;
    if (count !== undefined && Number(name.slice('eth'.length)) < count) return [];
    return [
      {
        path: ['impair', index, 'nic'],
        message: count === undefined ? `'${vm}' is no VM of this node` : `${vm} has no ${name}`,
        remedy: count === undefined ? `Name one of ${Object.keys(vms).join(', ')}.` : `It has eth0 to eth${count - 1}.`,
      },
    ];
  });
}

/** Replicas have names of their own, and nobody shares an address. */
function replicaProblems(spec: NodeSpec): NodeProblem[] {
  const problems: NodeProblem[] = [];
  for (const [name, vm] of Object.entries(spec.vms)) {
    const others = replicasOf(name, vm).slice(1);
    const path = ['vms', name, 'replicas'];
    const taken = others.find((other) => other in spec.vms);
    if (taken !== undefined) {
      problems.push({
        path,
        message: `${vm.replicas} replicas of ${name} would have one called '${taken}', which is another VM of this node`,
        remedy: `Rename that VM, or have fewer replicas of ${name}.`,
      });
    }
    const tooLong = others.find((other) => !isName(other));
    if (tooLong !== undefined) {
      problems.push({
        path,
        message: `'${tooLong}' would be too long a name`,
        remedy: `Give ${name} a name of at most 59 characters.`,
      });
    }
    if (others.length > 0 && vm.nics.some(({ address, mac }) => address !== undefined || mac !== undefined)) {
      problems.push({
        path,
        message: `${name} has an address that is fixed, so there can be one of it only`,
        remedy: 'Leave the address out, or have one replica.',
      });
    }
  }
  return problems;
}

/** The VMs of one circle, in order, or undefined. */
export function dependencyCycle(spec: Pick<NodeSpec, 'vms'>): string[] | undefined {
  const done = new Set<string>();
  const path: string[] = [];
  const visit = (name: string): string[] | undefined => {
    const at = path.indexOf(name);
    if (at !== -1) return path.slice(at);
    if (done.has(name)) return undefined;
    path.push(name);
    for (const { vm } of spec.vms[name]?.dependsOn ?? []) {
      const cycle = visit(vm);
      if (cycle !== undefined) return cycle;
    }
    path.pop();
    done.add(name);
    return undefined;
  };
  for (const name of Object.keys(spec.vms)) {
    const cycle = visit(name);
    if (cycle !== undefined) return cycle;
  }
  return undefined;
}
