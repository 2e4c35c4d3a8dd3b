import { isDeepStrictEqual } from 'node:util';
import { SkerryError, type Fault, type FaultSpec, type FaultStatus } from '@skerry/api';
import type { VmPartition } from '../networks/index.ts';
import { refOf } from '../store/index.ts';
import { splitVmName } from '../vms/index.ts';
import { networksBetween, partitionGroups, type PartitionSpec } from './partition-plan.ts';
import type { FaultAct, FaultPorts } from './ports.ts';

/** VMs of a node that do not reach each other, by their datapath, which knows the end. */

type Ports = Pick<FaultPorts, 'node' | 'networks' | 'vms'>;

export function partitionAct({ node: nodeOf, networks, vms }: Ports): FaultAct {
  const active = async (fault: Fault): Promise<boolean> => {
    const state = await networks.switchState();
    const untilMs = untilOf(fault.status);
    // Its ports are known by their VM: what there is of it in any network is it.
    return (state?.segments ?? []).some(({ partitions }) =>
      partitions.some(
        (each) =>
          isDeepStrictEqual(each.untilMs, untilMs) &&
          each.groups.flat().every((port) => fault.status.vms.includes(port.slice(0, port.indexOf('/')))),
      ),
    );
  };
  const isInKernel = async ({ status: { groups = [] } }: Fault): Promise<boolean> => {
    const between = networksBetween(groups, await vms.list());
    return (await networks.inKernel(between)).length > 0;
  };
  const partitionOf = ({ status }: Fault): VmPartition => ({
    groups: status.groups ?? [],
    untilMs: untilOf(status),
  });
  return {
    async plan(asked) {
      const spec = narrow(asked);
      const { node, members } = await nodeOf(spec.node);
      const groups = partitionGroups(spec, new Map(members.map((vm) => [splitVmName(vm.name).name, vm.id])));
      const running = members.filter(({ status }) => status.state === 'running' || status.state === 'paused');
      if (running.length < 2) {
        throw new SkerryError('wrong-state', `${node.name} has ${running.length} VMs that run: nobody to keep apart`, {
          remedy: `Bring it up first: \`skerry up\`.`,
        });
      }
      return { spec: { ...spec, node: node.name }, subject: refOf(node), vms: groups.flat(), groups };
    },
    async begin(fault) {
      networks.faults.part(fault.id, partitionOf(fault));
      await networks.changed();
      if ((await active(fault)) || (await isInKernel(fault))) return {};
      throw new SkerryError('failed', 'No network is between these VMs that could be parted', {
        remedy: 'See on which networks they are: `skerry info`.',
      });
    },
    async end(fault) {
      networks.faults.end(fault.id);
      await networks.changed();
      if (!(await active(fault))) return;
      throw new SkerryError('failed', 'The switch does not say that it has ended', {
        remedy: 'See `skerry daemon logs`.',
      });
    },
    async takeUp(fault) {
      networks.faults.part(fault.id, partitionOf(fault));
      return true;
    },
    over: () => undefined,
  };
}

function narrow(spec: FaultSpec): PartitionSpec {
  if (spec.kind === 'partition') return spec;
  throw new SkerryError('internal', `${spec.kind} is no partition`);
}

function untilOf({ endsAt }: FaultStatus): number | undefined {
  return endsAt === undefined ? undefined : Date.parse(endsAt);
}
