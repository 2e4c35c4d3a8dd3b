import type { NodeSpec, NodeVm } from './node.ts';

/** Pure: from VMs as they are declared, some of them several times, to VMs as they are. */

/**
 * 'web' 1 -> 'web', 'web' 3 -> 'web-3'. The first keeps the declared name: scaling leaves it, its disk and what is known
 * by its name alone.
 */
export function replicaName(vm: string, number: number): string {
  return number === 1 ? vm : `${vm}-${number}`;
}

/** Names of the VMs that are made of one declared VM, the first one first. */
export function replicasOf(vm: string, { replicas = 1 }: Pick<NodeVm, 'replicas'>): string[] {
  return Array.from({ length: replicas }, (_, index) => replicaName(vm, index + 1));
}

/**
 * The same node with each replica as a VM of its own. A dependency on a VM is one on all of its replicas, and none where
 * it has none; host ports lead to the first.
 */
export function expandReplicas(spec: NodeSpec): NodeSpec {
  const vms: Record<string, NodeVm> = {};
  for (const [name, { replicas, ...declared }] of Object.entries(spec.vms)) {
    const dependsOn = declared.dependsOn.flatMap((dependency) =>
      replicasOf(dependency.vm, spec.vms[dependency.vm] ?? {}).map((vm) => ({ ...dependency, vm })),
    );
    for (const [index, replica] of replicasOf(name, { replicas }).entries())
      vms[replica] = { ...declared, dependsOn, forwards: index === 0 ? declared.forwards : [] };
  }
  return { ...spec, vms };
}

/** How many there are stays where the declaration does not say it. */
export function withReplicasOf(spec: NodeSpec, before: NodeSpec | undefined): NodeSpec {
  const vms = Object.entries(spec.vms).map(([name, vm]) => {
    const replicas = vm.replicas ?? before?.vms[name]?.replicas;
    return [name, replicas === undefined ? vm : { ...vm, replicas }] as const;
  });
  return { ...spec, vms: Object.fromEntries(vms) };
}
