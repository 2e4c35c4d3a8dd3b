import { SkerryError, type NodeSpec, type NodeStatus, type Vm } from '@skerry/api';
import type { EventLog } from '../events/index.ts';
import { refOf, type Resources } from '../store/index.ts';
import { splitVmName, type VmService, type WorkOptions } from '../vms/index.ts';

/**
 * Nodes after a restart of their host: first each is marked with what it is to be, then they come back, in the order of
 * their dependencies. What is marked is in the store, so a daemon that dies over it is followed by one that goes on.
 */

/** Says in a node's status that its VMs are being started as they are, not as a new declaration wants them. */
export const RETURNING = 'it comes back after a restart of the host';

/** How long a dependency may take, its restart policy's tries included. */
const DEPENDENCY_TIMEOUT_MS = 180_000;

export interface MarkPorts {
  readonly nodes: Resources<NodeSpec, NodeStatus>;
  readonly vms: VmService;
}

/** Before any VM is started. Again and again the same. */
export async function markReturning({ nodes, vms }: MarkPorts): Promise<void> {
  const all = await vms.list();
  for (const { id, name, spec, status } of (await nodes.list()).items) {
    const { power, autostart = 'last' } = spec;
    const isBegun = status.state === 'starting' || status.state === 'stopping';
    const members = all.filter((vm) => splitVmName(vm.name).node === name && vm.status.state !== 'suspended');
    if (autostart === 'off' && power === 'up') {
      for (const vm of members) await vms.setSpec(vm.id, (wish) => ({ ...wish, power: 'stopped' }));
      await nodes.update(id, () => ({
        spec: { ...spec, power: 'down' },
        // What was begun is ended as `down` does it.
        status: { ...status, state: isBegun ? 'stopping' : 'down', message: 'autostart is off' },
      }));
    } else if (!isBegun && (power === 'up' || autostart === 'on')) {
      const isUp = power === 'up';
      if (!isUp) for (const vm of members) await vms.setSpec(vm.id, (wish) => ({ ...wish, power: 'running' }));
      await nodes.update(id, () => ({
        spec: { ...spec, power: 'up' },
        status: { ...status, state: 'starting', message: RETURNING },
      }));
    }
  }
}

interface ReturnPorts {
  readonly vms: VmService;
  readonly events: EventLog;
  readonly forwardsChanged: () => Promise<void>;
}

/**
 * Starts each VM that is wanted as soon as what it depends on is there. One that does not come keeps back those that
 * depend on it, and nobody else.
 * @returns what did not come, in words
 * @throws SkerryError `cancelled`
 */
export async function bringBack(
  { vms, events, forwardsChanged }: ReturnPorts,
  spec: NodeSpec,
  members: ReadonlyMap<string, Vm>,
  work: WorkOptions,
): Promise<string[]> {
  const isWanted = ({ spec: { power } }: Vm): boolean => power === 'running' || power === 'paused';
  const wanted = new Map([...members].filter(([, vm]) => isWanted(vm)));
  const coming = new Map<string, Promise<Vm>>();
  const lost: string[] = [];

  const comeBack = async (name: string, vm: Vm): Promise<Vm> => {
    await Promise.all(
      (spec.vms[name]?.dependsOn ?? []).map(async ({ vm: dependency, condition }) => {
        // What was not running before is not waited for now.
        const needed = wanted.get(dependency);
        if (needed === undefined) return;
        const back = await begin(dependency, needed);
        if (condition === 'healthy') await vms.wait(back.id, 'healthy', DEPENDENCY_TIMEOUT_MS, work);
      }),
    ).catch(async (error: unknown) => {
      const problem = SkerryError.from(error);
      if (problem.code === 'cancelled') throw problem;
      await vms.setSpec(vm.id, (wish) => ({ ...wish, power: 'stopped' }));
      const why = `what it depends on did not come back: ${problem.message}`;
      void events.emit({ type: 'vm.start-failed', subject: refOf(vm), message: `${vm.name} did not start: ${why}` });
      throw new SkerryError(problem.code, why, { cause: problem });
    });
    try {
      return await vms.converge(vm.id, work);
    } catch (error) {
      const policyGoesOn = (await vms.find(vm.id))?.status.recovery?.phase === 'waiting';
      if (!policyGoesOn) throw error;
      return await vms.wait(vm.id, 'agent', DEPENDENCY_TIMEOUT_MS, work);
    }
  };
  const begin = (name: string, vm: Vm): Promise<Vm> => {
    const known = coming.get(name);
    if (known !== undefined) return known;
    const back = comeBack(name, vm);
    coming.set(name, back);
    return back;
  };

  await Promise.all(
    [...wanted].map(async ([name, vm]) => {
      try {
        await begin(name, vm);
      } catch (error) {
        const problem = SkerryError.from(error);
        if (problem.code === 'cancelled') throw problem;
        lost.push(`${name}: ${problem.message}`);
      }
    }),
  );
  await forwardsChanged();
  return lost;
}
