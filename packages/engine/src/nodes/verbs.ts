import {
  expandReplicas,
  SkerryError,
  type Node,
  type NodeRestart,
  type NodeScale,
  type NodeSpec,
  type NodeUpdate,
  type NodeWork,
  type PlanStep,
  type Vm,
} from '@skerry/api';
import { refOf } from '../store/index.ts';
import { uninterrupted } from '../tasks/index.ts';
import { isAlive, type WorkOptions } from '../vms/index.ts';
import { bringDown, bringUp } from './converge.ts';
import { memoryAsks } from './memory.ts';
import type { NodeFacts } from './plan.ts';
import { assertFits, replaceBatch, type ReplacePorts } from './replace.ts';
import type { NodePorts, NodeService } from './service.ts';
import {
  chunks,
  imageOf,
  planScale,
  planUpdate,
  scaledSpec,
  selectVms,
  surplusOf,
  updateBatches,
  updatedSpec,
} from './verbs-plan.ts';

/** What is asked of a node that is up: more or fewer of a VM, another image, a restart. */

export interface VerbPorts extends Omit<NodePorts, 'resume'>, ReplacePorts {
  readonly nodeService: NodeService;
}

const STOP_TIMEOUT_MS = 10_000;

export class NodeVerbs {
  readonly #ports: VerbPorts;

  constructor(ports: VerbPorts) {
    this.#ports = ports;
  }

  async planScale(nodeId: string, wanted: NodeScale): Promise<PlanStep[]> {
    const { nodeService } = this.#ports;
    const node = await nodeService.get(nodeId);
    const spec = scaledSpec(node, wanted);
    await nodeService.check(node.name, spec);
    return planScale(node.name, spec, Object.keys(wanted.replicas), await nodeService.facts(node.name, spec));
  }

  /**
   * First makes and starts what is too few, then stops and deletes what is too many. Of a node that is down only the
   * declaration is changed, and what is too many deleted.
   * @throws SkerryError `not-found`, `invalid`, `in-use`, `no-space` before anything is changed; when it fails, what it made is gone
   */
  async scale(nodeId: string, wanted: NodeScale, work: WorkOptions): Promise<Node> {
    const { nodeService, nodes } = this.#ports;
    await this.planScale(nodeId, wanted);
    const { name } = await nodeService.get(nodeId);
    return nodeService.cancellably(name, work, async (inner) => {
      const before = (await nodes.get(nodeId)) as Node;
      const spec = scaledSpec(before, wanted);
      await nodeService.check(name, spec);
      const scaled = Object.keys(wanted.replicas);
      const names = spec.power === 'up' ? selectVms({ name, spec }, scaled) : [];
      const asks = memoryAsks(onlyOf(expandReplicas(spec), names), await nodeService.members(name));
      using room = await this.#ports.admission.reserve(asks);
      await nodes.update(nodeId, ({ status }) => ({
        spec,
        status: { ...status, state: 'starting', work: { kind: 'scale', vms: scaled } },
      }));
      try {
        await this.#startOnly(name, spec, names, { ...inner, room });
      } catch (error) {
        await uninterrupted(() => nodeService.takeBack(name, before, nodeId));
        throw error;
      }
      return uninterrupted(() => this.#scaleDown(nodeId, spec, scaled, inner));
    });
  }

  async planUpdate(nodeId: string, wanted: NodeUpdate): Promise<PlanStep[]> {
    const { node, facts } = await this.#toUpdate(nodeId, wanted);
    return planUpdate(node, wanted, facts);
  }

  /**
   * Batch by batch: the next one begins when all VMs of the last are healthy. A batch that fails gets its old disks back, and
   * those after it are not begun.
   * @throws SkerryError `not-found`, `wrong-state`, `invalid` before anything is changed
   */
  async update(nodeId: string, wanted: NodeUpdate, work: WorkOptions): Promise<Node> {
    const { nodeService } = this.#ports;
    const { node } = await this.#toUpdate(nodeId, wanted);
    return nodeService.cancellably(node.name, work, (inner) => this.#update(nodeId, wanted, inner));
  }

  /**
   * All that depend on others stop first and start last; with `batch` so many at a time, each batch until it is healthy.
   * A node that is down is started. When it fails, those that ran are started again.
   * @throws SkerryError `not-found`, `wrong-state` before anything is changed
   */
  async restart(nodeId: string, { vms, batch }: NodeRestart, work: WorkOptions): Promise<Node> {
    const { nodeService } = this.#ports;
    const node = await nodeService.get(nodeId);
    const names = selectVms(node, vms);
    if (node.spec.power === 'down' && vms.length > 0) throw isDown(node.name, 'Restart all of it');
    return nodeService.cancellably(node.name, work, async (inner) => {
      const members = await nodeService.members(node.name);
      assertNoneSuspended(names, members);
      return this.#restart(node, names, batch, members, inner);
    });
  }

  /** What an earlier daemon had begun. */
  async resume(node: Node, begun: Exclude<NodeWork, { kind: 'restore' | 'delete' }>): Promise<void> {
    const { nodeService } = this.#ports;
    await nodeService.cancellably(node.name, {}, async (work) => {
      if (begun.kind === 'update') return void (await this.#update(node.id, begun, work));
      const names = begun.kind === 'scale' ? selectVms(node, begun.vms) : begun.vms;
      if (node.spec.power === 'up') await this.#startOnly(node.name, node.spec, names, work);
      if (begun.kind === 'scale') await this.#scaleDown(node.id, node.spec, begun.vms, work);
      else await nodeService.finish(node.id, 'node.restarted', `${node.name} restarted`);
    });
  }

  async #scaleDown(nodeId: string, spec: NodeSpec, scaled: readonly string[], work: WorkOptions): Promise<Node> {
    const { nodeService, vms, forwardsChanged } = this.#ports;
    const { name } = await nodeService.get(nodeId);
    const members = await nodeService.members(name);
    const gone = surplusOf(spec, scaled, members.keys()).flatMap((inner) => members.get(inner) ?? []);
    await Promise.all(
      gone.map(async (vm) => {
        work.onProgress?.(`${vm.name}: stopping`);
        if (isAlive(vm.status.state)) await vms.stop(vm.id, {}, { timeoutMs: STOP_TIMEOUT_MS });
        await vms.delete(vm.id, { force: true }, {});
      }),
    );
    await forwardsChanged();
    const counts = scaled.map((vm) => `${vm}=${spec.vms[vm]?.replicas ?? 1}`).join(' ');
    return nodeService.finish(nodeId, 'node.scaled', `${name} scaled: ${counts}`);
  }

  async #update(nodeId: string, wanted: Pick<NodeUpdate, 'images' | 'batch'>, work: WorkOptions): Promise<Node> {
    const { nodeService, nodes, events } = this.#ports;
    const { node, facts } = await this.#toUpdate(nodeId, wanted);
    const { images, batch } = wanted;
    // One that was cut off has the new image already, and no disk that is known to work with it.
    const begun = [...facts.vms].filter(([, vm]) => vm.status.previous !== undefined).map(([name]) => name);
    const batches = [
      ...(begun.length === 0 ? [] : [begun]),
      ...updateBatches(node, wanted, facts)
        .map((names) => names.filter((name) => !begun.includes(name)))
        .filter((names) => names.length > 0),
    ];
    await nodes.update(nodeId, ({ status }) => ({
      status: { ...status, state: 'starting', work: { kind: 'update', images, batch } },
    }));
    const done: string[] = [];
    try {
      for (const [index, names] of batches.entries()) {
        work.onProgress?.(`batch ${index + 1} of ${batches.length}: ${names.join(', ')}`, index / batches.length);
        await replaceBatch(
          this.#ports,
          node,
          names,
          (name) => imageOf(node.spec, images, name),
          facts.imageDigests,
          work,
        );
        done.push(...names);
      }
    } catch (error) {
      const problem = SkerryError.from(error);
      const left = batches.flat().filter((name) => !done.includes(name));
      const told = `${problem.message}. With the new image: ${listed(done)}; with the old one: ${listed(left)}`;
      await uninterrupted(() =>
        nodeService.finish(nodeId, 'node.update-failed', `${node.name} was not updated: ${told}`),
      );
      throw new SkerryError(problem.code, told, {
        remedy: `See \`skerry node logs ${node.name}\`; \`skerry node update\` goes on where this stopped, or back with the old image.`,
        details: { updated: done, kept: left },
        cause: problem,
      });
    }
    await nodes.update(nodeId, ({ spec }) => ({ spec: updatedSpec(spec, images) }));
    void events.emit({
      type: 'node.updated',
      subject: refOf(node),
      message: `${node.name} updated: ${listed(done)}`,
      data: { images, vms: done },
    });
    return nodeService.finish(nodeId, 'node.up', `${node.name} is up`);
  }

  async #restart(
    node: Node,
    names: readonly string[],
    batch: number | undefined,
    members: ReadonlyMap<string, Vm>,
    work: WorkOptions,
  ): Promise<Node> {
    const { nodeService, nodes, vms } = this.#ports;
    const spec = { ...node.spec, power: 'up' as const };
    await nodes.update(node.id, ({ status }) => ({
      spec,
      status: { ...status, state: 'starting', work: { kind: 'restart', vms: [...names] } },
    }));
    try {
      for (const part of chunks(names, batch ?? Math.max(1, names.length))) {
        const stopped = new Map([...members].filter(([name]) => part.includes(name)));
        await bringDown(vms, expandReplicas(spec), stopped, work);
        await this.#startOnly(node.name, spec, part, work);
      }
    } catch (error) {
      await uninterrupted(async () => {
        const ran = [...members.values()].filter(({ status }) => isAlive(status.state));
        await Promise.allSettled(ran.map(({ id }) => vms.start(id, {})));
        if (node.spec.power === 'down') {
          await bringDown(vms, expandReplicas(spec), members, {});
          await nodes.update(node.id, () => ({ spec: node.spec }));
        }
        await nodeService.finish(node.id, 'node.restart-failed', `${node.name}: ${SkerryError.from(error).message}`);
      });
      throw error;
    }
    return nodeService.finish(node.id, 'node.restarted', `${node.name} restarted: ${listed(names)}`);
  }

  async #startOnly(name: string, spec: NodeSpec, names: readonly string[], work: WorkOptions): Promise<void> {
    const facts = await this.#ports.nodeService.facts(name, spec);
    await bringUp(this.#ports, name, expandReplicas(spec), facts, { ...work, only: new Set(names) });
  }

  /** @throws SkerryError before anything is changed, when it can't be */
  async #toUpdate(nodeId: string, { images }: Pick<NodeUpdate, 'images'>): Promise<{ node: Node; facts: NodeFacts }> {
    const { nodeService } = this.#ports;
    const node = await nodeService.get(nodeId);
    if (node.spec.power === 'down') throw isDown(node.name, 'Update it');
    const spec = updatedSpec(node.spec, images);
    const members = await nodeService.members(node.name);
    const names = selectVms(node, Object.keys(images));
    assertNoneSuspended(names, members);
    await nodeService.check(node.name, spec);
    const facts = await nodeService.facts(node.name, spec);
    for (const name of names) await assertFits(this.#ports, expandReplicas(spec).vms[name], facts);
    return { node, facts };
  }
}

function onlyOf(spec: NodeSpec, names: readonly string[]): NodeSpec {
  return { ...spec, vms: Object.fromEntries(Object.entries(spec.vms).filter(([name]) => names.includes(name))) };
}

function assertNoneSuspended(names: readonly string[], members: ReadonlyMap<string, Vm>): void {
  const vm = names.map((name) => members.get(name)).find((member) => member?.status.state === 'suspended');
  if (vm === undefined) return;
  throw new SkerryError('wrong-state', `${vm.name} is suspended: its memory would be lost`, {
    remedy: `Start it first: \`skerry start ${vm.name}\`.`,
  });
}

function isDown(node: string, what: string): SkerryError {
  return new SkerryError('wrong-state', `${node} is down`, {
    remedy: `${what} once it is up: \`skerry node restart ${node}\`.`,
  });
}

function listed(names: readonly string[]): string {
  return names.length === 0 ? 'none' : names.join(', ');
}
