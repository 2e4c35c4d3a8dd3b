import {
  declarationOf,
  patched,
  SkerryError,
  type Forward,
  type PlanStep,
  type Vm,
  type VmApply,
  type VmChanged,
  type VmDeclaration,
  type VmPlan,
  type VmSet,
  type VmSpec,
  type VmStatus,
} from '@skerry/api';
import type { EventLog } from '../events/index.ts';
import { refOf, type Resources } from '../store/index.ts';
import { assertMeant, completed, planChange, saysTheSame, specAfter, type DeclaredChange } from './change-plan.ts';
import type { VmController } from './controller.ts';
import { assertMemory } from './memory-need-plan.ts';
import { isAlive, splitVmName, withoutHealthPhase } from './model.ts';
import type { NicService } from './nic-service.ts';
import type { VmImages, VmNetworks, WorkOptions } from './ports.ts';
import { specOf, type VmService } from './service.ts';

/** Changes what is asked of a VM that is there: its name, a field, or all that is declared of it. */

export interface ChangePorts {
  readonly vms: Resources<VmSpec, VmStatus>;
  readonly service: VmService;
  readonly controller: VmController;
  readonly events: EventLog;
  readonly images: VmImages;
  readonly networks: VmNetworks;
  readonly nics: Pick<NicService, 'plan' | 'change'>;
  /** Of the image that a new VM would get, or undefined when there is none. */
  readonly imageDigest: (name: string) => Promise<string | undefined>;
  /** @throws SkerryError `in-use`: a host port is taken */
  readonly assertPortsFree: (forwards: readonly Forward[], vmId: string | undefined) => Promise<void>;
  /** Resolves once the host listens where its VMs say. */
  readonly forwardsChanged: () => Promise<void>;
}

/** What may be changed of a node's VM by itself: nothing that its node declares. */
const OWN_FIELDS: ReadonlySet<string> = new Set(['protected']);

/** They stay: they are changed apart. */
const NO_NICS = { network: undefined, networks: undefined, nics: undefined };

export class VmChanges {
  readonly #ports: ChangePorts;

  constructor(ports: ChangePorts) {
    this.#ports = ports;
  }

  /**
   * Its id stays, and so do its files, addresses and MACs. What runs answers to the new name at once; the host name in the
   * guest follows at its next start.
   * @throws SkerryError `refused` (it is a node's), `conflict` (name)
   */
  async rename(id: string, name: string): Promise<Vm> {
    const { vms, networks, controller, events } = this.#ports;
    const before = await vms.get(id);
    const { node } = splitVmName(before.name);
    if (node !== undefined) {
      throw new SkerryError('refused', `${before.name} belongs to the node ${node}, which says what it is called`, {
        remedy: `Rename it in the file of ${node}, then type \`skerry up FILE\`: it is then made anew. \`skerry fork ${before.name} NAME\` makes a VM of its own.`,
      });
    }
    const vm = (await vms.update(id, ({ status }) => {
      assertNotDeleting(before.name, status);
      return { name };
    })) as Vm;
    if (vm.name === before.name) return vm;
    await networks.renamed(before.name, name);
    // The switch answers DNS by name.
    if (isAlive(vm.status.state)) await networks.attach(vm, controller.dirs(id).runtimeDir);
    const message = `${before.name} is called ${name} now`;
    void events.emit({ type: 'vm.renamed', subject: refOf(vm), message, data: { from: before.name, to: name } });
    return vm;
  }

  /** @throws SkerryError `invalid`, `in-use` (host port), `refused` (its node declares it) */
  async set(id: string, patch: VmSet): Promise<VmChanged> {
    return this.#change(id, (vm) => {
      const declared = Object.keys(patch).filter((key) => !OWN_FIELDS.has(key));
      const { node } = splitVmName(vm.name);
      if (node !== undefined && declared.length > 0) throw declaredByNode(vm.name, node, declared);
      return patched(declarationOf(vm), patch);
    });
  }

  /** What `apply` would do. @throws as `apply` */
  async plan({ vm: wanted, base, start }: VmApply): Promise<VmPlan> {
    const vm = await this.#ports.service.find(wanted.name);
    const isUp = vm?.status.state === 'running';
    const name = wanted.name;
    const starting: PlanStep[] = start && !isUp ? [{ action: 'start', kind: 'vm', name }] : [];
    if (vm === undefined) {
      if (base !== undefined) throw changedMeanwhile(name);
      await this.#checkNew(specOf({ ...wanted, start: false, ssh: false }));
      return { steps: [{ action: 'create', kind: 'vm', name }, ...starting], atNextStart: [] };
    }
    const { changed, atNextStart } = await this.#check(vm, wanted, base);
    await this.#ports.nics.plan(vm, completed(vm, wanted).nics, {});
    const step: PlanStep =
      changed.length === 0
        ? { action: 'keep', kind: 'vm', name }
        : { action: 'update', kind: 'vm', name, why: `${changed.join(', ')} changed` };
    return { steps: [step, ...starting], atNextStart: [...atNextStart] };
  }

  /**
   * Makes the VM if it is not there. NICs on networks that are no longer named go, and others come, also while it runs.
   * @throws SkerryError `conflict` (it is not what `base` says any more), `unsupported` (it would have to be made anew), ...
   */
  async apply({ vm: wanted, base, start }: VmApply, work: WorkOptions): Promise<VmChanged> {
    const { service, nics } = this.#ports;
    const known = await service.find(wanted.name);
    if (known === undefined && base !== undefined) throw changedMeanwhile(wanted.name);
    if (known === undefined) return this.#create(wanted, start, work);
    const { changed } = await this.#check(known, wanted, base);
    const steps = await nics.plan(known, completed(known, wanted).nics, work);
    const others = await this.#change(known.id, () => ({ ...wanted, ...NO_NICS }), base);
    await nics.change(known.id, steps, work);
    const result = { ...others, vm: await service.get(known.id), changed: [...changed] };
    if (!start || result.vm.status.state === 'running') return result;
    return { ...result, vm: await service.start(known.id, work), atNextStart: [] };
  }

  async #create(wanted: VmDeclaration, start: boolean, work: WorkOptions): Promise<VmChanged> {
    const { service } = this.#ports;
    const { name, title, labels } = wanted;
    const vm = await service.create(
      { name, title, labels, spec: specOf({ ...wanted, start, ssh: false }), starts: start },
      work,
    );
    const changed = { created: true, changed: [], atNextStart: [] };
    if (!start) return { vm, ...changed };
    try {
      return { vm: await service.start(vm.id, work), ...changed };
    } catch (error) {
      // One call made it, so one failure takes it back.
      await service.delete(vm.id, { force: true }, {});
      throw error;
    }
  }

  /** @param to may be called more than once, on what is then there */
  async #change(id: string, to: (vm: Vm) => VmDeclaration, base?: VmDeclaration): Promise<VmChanged> {
    const { vms, controller, events, forwardsChanged } = this.#ports;
    let done: DeclaredChange = { changed: [], atNextStart: [] };
    const vm = (await vms.update(id, async (current) => {
      const now = current as Vm;
      const wanted = to(now);
      done = await this.#check(now, wanted, base);
      if (done.changed.length === 0) return undefined;
      const spec = specAfter(now, wanted);
      const status = done.changed.includes('health') ? withoutVerdict(spec, now.status) : now.status;
      return { title: wanted.title, labels: wanted.labels, spec, status };
    })) as Vm;
    const { changed, atNextStart } = done;
    if (changed.includes('health') && vm.status.state === 'running') controller.live(id)?.watchHealth(vm.spec.health);
    if (changed.includes('forwards')) await forwardsChanged();
    if (changed.length > 0) {
      const message = `${vm.name}: ${changed.join(', ')} changed`;
      void events.emit({ type: 'vm.changed', subject: refOf(vm), message, data: { changed, atNextStart } });
    }
    return { vm, created: false, changed: [...changed], atNextStart: [...atNextStart] };
  }

  /** What can be seen to be wrong without making anything; `create` looks at the rest. */
  async #checkNew(spec: VmSpec): Promise<void> {
    const { assertPortsFree, imageDigest } = this.#ports;
    await assertPortsFree(spec.forwards, undefined);
    if (spec.image === 'micro' || (await imageDigest(spec.image)) !== undefined) return;
    throw new SkerryError('not-found', `There is no image '${spec.image}'`, {
      remedy: 'See `skerry image list`; build it with `skerry image build RECIPE`.',
    });
  }

  /** All that can be wrong with a change, before anything is changed. */
  async #check(vm: Vm, wanted: VmDeclaration, base: VmDeclaration | undefined): Promise<DeclaredChange> {
    const { images, networks, assertPortsFree } = this.#ports;
    assertNotDeleting(vm.name, vm.status);
    if (base !== undefined && !saysTheSame(vm, base)) throw changedMeanwhile(vm.name);
    const change = planChange(vm, wanted);
    const spec = specAfter(vm, wanted);
    assertMeant(spec);
    if (change.changed.includes('routes')) await networks.check(spec);
    if (change.changed.includes('forwards')) await assertPortsFree(spec.forwards, vm.id);
    if (change.changed.some((key) => key === 'memoryMib' || key === 'kernel')) {
      assertMemory(spec, await images.bootFiles(spec, vm.status.imageDigest, {}));
    }
    return change;
  }
}

/** Of its old check; the new one has not spoken yet. */
function withoutVerdict(spec: VmSpec, { healthMessage: _, start, ...status }: VmStatus): VmStatus {
  const health = spec.health === undefined || !isAlive(status.state) ? 'none' : 'starting';
  return { ...status, ...(start === undefined ? {} : { start: withoutHealthPhase(start) }), health };
}

function assertNotDeleting(name: string, { state }: VmStatus): void {
  if (state !== 'deleting') return;
  throw new SkerryError('wrong-state', `${name} is being deleted`, { remedy: 'Choose another VM.' });
}

function declaredByNode(name: string, node: string, fields: readonly string[]): SkerryError {
  return new SkerryError('refused', `${name} belongs to the node ${node}, which declares its ${fields.join(', ')}`, {
    remedy: `Change it in the file of ${node}, then type \`skerry up FILE\`.`,
    details: { node, fields },
  });
}

function changedMeanwhile(name: string): SkerryError {
  return new SkerryError('conflict', `${name} was changed by somebody else meanwhile`, {
    remedy: `Look at it again (\`skerry show ${name}\`), then repeat the change if it is still wanted.`,
  });
}
