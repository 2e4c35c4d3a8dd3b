import { isDeepStrictEqual } from 'node:util';
import { replicasOf, type Node } from '@skerry/api';
import type { PortImpairment, SegmentPartition } from '@skerry/switch';
import { portId, type PlannedNetwork, type PlannedVm } from './plan.ts';

/** What faults do to networks, beside what is asked of these: told to the datapath with them, each with its own end. */

export interface NicImpairment {
  readonly vmId: string;
  /** N of ethN. */
  readonly index: number;
  readonly impairment: PortImpairment;
}

/** VMs of one group do not reach those of another. */
export interface VmPartition {
  /** Ids of VMs. */
  readonly groups: readonly (readonly string[])[];
  readonly untilMs?: number | undefined;
}

/** Of what nodes declare, for as long as they do: the name of a VM -> its NICs. */
export type DeclaredImpairments = ReadonlyMap<string, ReadonlyArray<Omit<NicImpairment, 'vmId'>>>;

export class NetworkFaults {
  readonly #nodes: () => Promise<readonly Node[]>;
  #declared: DeclaredImpairments = new Map();
  /** By the id of the fault. */
  readonly #impairments = new Map<string, NicImpairment>();
  readonly #partitions = new Map<string, VmPartition>();

  constructor(nodes: () => Promise<readonly Node[]>) {
    this.#nodes = nodes;
  }

  /** Looks at what nodes declare now. */
  async read(): Promise<void> {
    this.#declared = declaredImpairments(await this.#nodes());
  }

  impair(id: string, impairment: NicImpairment): void {
    this.#impairments.set(id, impairment);
  }

  part(id: string, partition: VmPartition): void {
    this.#partitions.set(id, partition);
  }

  end(id: string): void {
    this.#impairments.delete(id);
    this.#partitions.delete(id);
  }

  /** Whether a fault does just this to a NIC now. */
  impairs(wanted: NicImpairment): boolean {
    return isNow(wanted.impairment) && [...this.#impairments.values()].some((each) => isDeepStrictEqual(each, wanted));
  }

  /** Until when faults keep the cable of a NIC out, the last of them: milliseconds since 1970; 0: none does. */
  cableOutUntilMs(vmId: string, index: number): number {
    const pulled = [...this.#impairments.values()].filter(
      (each) => each.vmId === vmId && each.index === index && each.impairment.down === true,
    );
    return Math.max(0, ...pulled.map(({ impairment }) => impairment.untilMs ?? Infinity));
  }

  onVm(vm: PlannedVm): PlannedVm {
    const faults = [...this.#impairments.values()].filter(
      ({ vmId, impairment }) => vmId === vm.id && isNow(impairment),
    );
    const own = [...(this.#declared.get(vm.name) ?? []), ...faults];
    if (own.length === 0) return vm;
    const nics = vm.nics.map((nic, place) => {
      const impairments = own.filter(({ index }) => index === (nic.index ?? place)).map(({ impairment }) => impairment);
      return impairments.length === 0 ? nic : { ...nic, impairments: [...(nic.impairments ?? []), ...impairments] };
    });
    return { ...vm, nics };
  }

  onNetwork(network: PlannedNetwork, vms: readonly PlannedVm[]): PlannedNetwork {
    const partitions = [...this.#partitions.values()]
      .filter(isNow)
      .map((partition) => segmentPartition(partition, network.id, vms))
      // With one group alone there is nobody that it could be kept from.
      .filter(({ groups }) => groups.length > 1);
    return partitions.length === 0 ? network : { ...network, partitions };
  }
}

/** Pure. */
export function declaredImpairments(nodes: readonly Node[]): DeclaredImpairments {
  const declared = new Map<string, Array<Omit<NicImpairment, 'vmId'>>>();
  for (const { name, spec } of nodes) {
    for (const { nic, dir, impairment, seed = 0 } of spec.impair ?? []) {
      const [vm = '', eth = ''] = nic.split(':');
      for (const replica of replicasOf(vm, spec.vms[vm] ?? {})) {
        const full = `${name}/${replica}`;
        const both = { out: impairment, in: impairment };
        const directions = dir === 'a2b' ? { out: impairment } : dir === 'b2a' ? { in: impairment } : both;
        const each = { index: Number(eth.slice('eth'.length)), impairment: { ...directions, seed } };
        declared.set(full, [...(declared.get(full) ?? []), each]);
      }
    }
  }
  return declared;
}

/** The partition as far as it concerns one network: ports instead of VMs. Pure. */
export function segmentPartition(
  { groups, untilMs }: VmPartition,
  networkId: string,
  vms: readonly PlannedVm[],
): SegmentPartition {
  const portsOf = (vmId: string): string[] => {
    const vm = vms.find(({ id }) => id === vmId);
    return (vm?.nics ?? []).flatMap((nic, place) =>
      nic.networkId === networkId ? [portId({ id: vmId }, nic.index ?? place)] : [],
    );
  };
  const here = groups.map((group) => group.flatMap(portsOf)).filter((ports) => ports.length > 0);
  return { groups: here, ...(untilMs === undefined ? {} : { untilMs }) };
}

function isNow({ untilMs }: { readonly untilMs?: number | undefined }): boolean {
  return untilMs === undefined || untilMs > Date.now();
}
