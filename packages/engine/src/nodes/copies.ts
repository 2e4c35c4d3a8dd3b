import { randomUUID } from 'node:crypto';
import { rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import {
  expandReplicas,
  SkerryError,
  type Node,
  type NodeSave,
  type NodeSpec,
  type NodeStatus,
  type Vm,
  type VmSpec,
  type VmStatus,
} from '@skerry/api';
import type { EventLog } from '../events/index.ts';
import { refOf, type Resources } from '../store/index.ts';
import { uninterrupted } from '../tasks/index.ts';
import {
  cutTogether,
  diskSizeBytes,
  isAlive,
  newVmStatus,
  startChain,
  type Admission,
  type CutMember,
  type CutNetwork,
  type LiveVm,
  type VmController,
  type VmImages,
  type VmService,
  type WorkOptions,
} from '../vms/index.ts';
import {
  describe,
  findSave,
  listSaves,
  makeDirectory,
  readManifest,
  removeSave,
  sweepSaves,
  syncDirectory,
  writeManifest,
  type SavedNetwork,
} from './manifest.ts';
import { FORKING } from './forking.ts';
import { startTogether } from './barrier.ts';
import { forkAsks, restoreAsks } from './memory.ts';
import { networkName, vmSpecOf } from './plan.ts';
import { describeNetworks, onTheWayOf, type NetworkNames, type OnTheWay } from './on-the-way.ts';
import { restoreVms, type RestorePorts } from './restore.ts';
import type { NodeService } from './service.ts';

/** Whole nodes as of one instant: forked into another node, or kept on disk and gone back to. */

export interface CopyPorts extends RestorePorts {
  readonly nodes: Resources<NodeSpec, NodeStatus>;
  readonly nodeService: NodeService;
  readonly admission: Admission;
  readonly vms: Resources<VmSpec, VmStatus>;
  readonly service: VmService;
  readonly controller: VmController;
  readonly images: VmImages;
  readonly networks: NetworkNames & {
    /** A network of its own with the same addresses. */
    copy(from: string, to: string, rename: ReadonlyMap<string, string>): Promise<void>;
    restore(network: SavedNetwork): Promise<void>;
  };
  /** Holds what is on its way between VMs of these networks while they are cut, and brings it into the copies. */
  readonly cut: (names: readonly string[]) => Promise<
    CutNetwork & {
      inject(copies: Readonly<Record<string, string>>): Promise<void>;
      /** By the ids of the networks. */
      kept(): Promise<OnTheWay>;
    }
  >;
  readonly onItsWay: {
    /** In networks of these ids. */
    drop(ids: readonly string[]): Promise<void>;
    /** Into networks of these ids, whose VMs are plugged in and stand still. */
    put(kept: OnTheWay): Promise<void>;
  };
  readonly events: EventLog;
  /** Where saves are kept; on the file system of the VMs' directories, for they share layers. */
  readonly savesDir: string;
}

export class NodeCopyService {
  readonly #ports: CopyPorts;

  constructor(ports: CopyPorts) {
    this.#ports = ports;
  }

  /**
   * Both run on, with the same addresses on networks of their own; host ports stay with the original.
   * @throws SkerryError `conflict` (name), `wrong-state`, `no-space`; the original runs on, and nothing of the fork is left
   */
  async fork(nodeId: string, { name }: { readonly name: string }, work: WorkOptions): Promise<Node> {
    const { nodes, nodeService, networks, service } = this.#ports;
    const original = await nodeService.get(nodeId);
    if ((await nodes.findByName(name)) !== undefined) throw nameTaken(name);
    return nodeService.exclusively(original.name, async () => {
      const members = await this.#members(original);
      using room = await this.#ports.admission.reserve(forkAsks(members));
      const vmSpecs = Object.fromEntries(
        Object.entries(original.spec.vms).map(([vm, spec]) => [vm, { ...spec, forwards: [] }]),
      );
      const fork = (await nodes.create({
        name,
        title: original.title,
        labels: original.labels,
        spec: { ...original.spec, protected: false, vms: vmSpecs, networks: withoutForwards(original), power: 'down' },
        // A daemon that dies now takes it away.
        status: { state: 'stopping', message: FORKING, vms: {} },
      })) as Node;
      const names = new Map([...members.keys()].map((vm) => [`${original.name}/${vm}`, `${name}/${vm}`]));
      try {
        for (const network of Object.keys(original.spec.networks))
          await networks.copy(networkName(original.name, network), networkName(name, network), names);
        const copies = new Map<string, Vm>();
        for (const [inner, vm] of members) copies.set(inner, await this.#declare(fork, inner, vm));
        const network = await this.#ports.cut(networkNames(original));
        const pausedMs = await this.#cut(members, copies, network, work);
        const ids: Record<string, string> = {};
        for (const each of Object.keys(original.spec.networks))
          ids[await networks.idOf(networkName(original.name, each))] = await networks.idOf(networkName(name, each));
        const running = [...copies.values()].filter((copy) => copy.spec.power === 'suspended');
        await startTogether(
          running.map((copy) => (beforeThaw) => service.start(copy.id, { ...work, room, beforeThaw })),
          () => network.inject(ids),
        );
        const done = await nodeService.settle(fork.id, 'up');
        void this.#ports.events.emit({
          type: 'node.forked',
          subject: refOf(original),
          message: `${original.name} forked into ${name}; it stood still for ${Math.round(pausedMs)} ms`,
          data: { fork: name, pausedMs },
        });
        return done;
      } catch (error) {
        await uninterrupted(() => nodeService.discard(fork.id));
        throw error;
      }
    });
  }

  /** @throws SkerryError `conflict` (name), `wrong-state`, `no-space`; nothing of the save is left, and the node runs on */
  async save(nodeId: string, { name }: { readonly name: string }, work: WorkOptions): Promise<NodeSave> {
    const { nodeService, events } = this.#ports;
    const node = await nodeService.get(nodeId);
    const dir = join(this.#dirOf(node.id), name);
    if ((await readManifest(dir)) !== undefined) {
      throw new SkerryError('conflict', `There is a save '${name}' of ${node.name} already`, {
        remedy: `Choose another name, or delete it: \`skerry node delete-save ${node.name} ${name}\`.`,
      });
    }
    return nodeService.exclusively(node.name, async () => {
      const members = await this.#members(node);
      const unfinished = join(this.#dirOf(node.id), `.new-${randomUUID().slice(0, 8)}`);
      await makeDirectory(unfinished);
      try {
        work.onProgress?.('cutting memory and disks');
        const network = await this.#ports.cut(networkNames(node));
        const cut = await this.#cutInto(members, (inner) => join(unfinished, inner), false, network, work);
        await writeManifest(unfinished, {
          version: 1,
          node: node.name,
          name,
          createdAt: new Date().toISOString(),
          spec: node.spec,
          networks: await describeNetworks(this.#ports.networks, networkNames(node), await network.kept()),
          vms: cut.saved,
        });
        await rename(unfinished, dir);
        await syncDirectory(this.#dirOf(node.id));
        void events.emit({
          type: 'node.saved',
          subject: refOf(node),
          message: `${node.name} saved as ${name}; it stood still for ${Math.round(cut.pausedMs)} ms`,
          data: { save: name, pausedMs: cut.pausedMs },
        });
      } catch (error) {
        await rm(unfinished, { recursive: true, force: true });
        throw error;
      }
      return (await describe(dir)) as NodeSave;
    });
  }

  async saves(nodeId: string): Promise<NodeSave[]> {
    return listSaves(this.#dirOf(nodeId));
  }

  /** A save whose disks lie on this image. */
  saveOn(imageDigest: string): Promise<{ readonly node: string; readonly name: string } | undefined> {
    return findSave(this.#ports.savesDir, (manifest) => manifest.vms.some((vm) => vm.imageDigest === imageDigest));
  }

  /**
   * The save stays as it is in any case.
   * @throws SkerryError `not-found`, `unsupported` (another version wrote it), `no-space` before anything is changed
   */
  async restore(nodeId: string, save: string, work: WorkOptions): Promise<Node> {
    const { nodes, nodeService, events } = this.#ports;
    const node = await nodeService.get(nodeId);
    const dir = join(this.#dirOf(node.id), save);
    const manifest = await readManifest(dir);
    if (manifest === undefined) throw noSave(node.name, save);
    return nodeService.exclusively(node.name, async () => {
      const members = await nodeService.members(node.name);
      using room = await this.#ports.admission.reserve(restoreAsks(manifest, members));
      // From here on it is half of each: a daemon that dies leaves the next one to do it again, from the save.
      await nodes.update(node.id, ({ status }) => ({
        status: { ...status, state: 'starting', work: { kind: 'restore', save } },
      }));
      try {
        for (const network of manifest.networks) await this.#ports.networks.restore(network);
        const kept = await onTheWayOf(this.#ports.networks, manifest);
        await restoreVms(
          this.#ports,
          { node, manifest, dir },
          {
            whenAllAreGone: () => this.#ports.onItsWay.drop(Object.keys(kept)),
            whenAllArePluggedIn: () => this.#ports.onItsWay.put(kept),
          },
          { ...work, room },
        );
      } catch (error) {
        const message = `${node.name} was not restored to ${save}: ${SkerryError.from(error).message}`;
        await uninterrupted(() => nodeService.finish(node.id, 'node.restore-failed', message));
        throw error;
      }
      await nodes.update(node.id, () => ({ spec: manifest.spec }));
      const done = await nodeService.settle(node.id, manifest.spec.power);
      void events.emit({
        type: 'node.restored',
        subject: refOf(node),
        message: `${node.name} is what it was at ${save}`,
      });
      return done;
    });
  }

  /** After a restart of the daemon: a restore that was cut off. @throws SkerryError as `restore`; nobody tries it a third time */
  async resume(node: Node, save: string): Promise<void> {
    try {
      await this.restore(node.id, save, {});
    } catch (error) {
      await this.#ports.nodeService.finish(node.id, 'node.restore-failed', `${node.name} was not restored to ${save}`);
      throw error;
    }
  }

  async deleteSave(nodeId: string, save: string): Promise<void> {
    const dir = join(this.#dirOf(nodeId), save);
    if ((await readManifest(dir)) === undefined) throw noSave(nodeId, save);
    await removeSave(dir);
  }

  /** After a restart of the daemon, before nodes are recovered. */
  async recover(): Promise<void> {
    await sweepSaves(this.#ports.savesDir);
  }

  /** Of a node that is gone. */
  async forget(nodeId: string): Promise<void> {
    await rm(this.#dirOf(nodeId), { recursive: true, force: true });
  }

  #dirOf(nodeId: string): string {
    return join(this.#ports.savesDir, nodeId);
  }

  /** @throws SkerryError `wrong-state`: one of them is neither here nor there */
  async #members(node: Node): Promise<Map<string, Vm>> {
    const members = await this.#ports.nodeService.members(node.name);
    for (const vm of members.values()) {
      const { state } = vm.status;
      if (isAlive(state) || state === 'stopped' || state === 'crashed') continue;
      throw new SkerryError('wrong-state', `${vm.name} is ${state}`, {
        remedy: state === 'suspended' ? `Start it first: \`skerry start ${vm.name}\`.` : 'Wait until it is at rest.',
      });
    }
    return members;
  }

  /** A VM of the fork: as if it were being deleted, until its memory and disk are there. */
  async #declare(fork: Node, inner: string, vm: Vm): Promise<Vm> {
    const declared = expandReplicas(fork.spec).vms[inner];
    const spec = declared === undefined ? { ...vm.spec, forwards: [] } : vmSpecOf(fork.name, declared);
    // What was added by hand leads out of the node, and would be there twice.
    const own = vm.status.nics.slice(0, spec.nics.length);
    const nics = own.map((nic, index) => ({ ...nic, network: spec.nics[index]?.network ?? nic.network }));
    return (await this.#ports.vms.create({
      name: `${fork.name}/${inner}`,
      title: vm.title,
      labels: vm.labels,
      spec: { ...spec, protected: false, power: isAlive(vm.status.state) ? 'suspended' : 'stopped', restarts: 0 },
      status: { ...newVmStatus(nics, vm.status.imageDigest ?? ''), state: 'deleting' },
    })) as Vm;
  }

  async #cut(
    members: ReadonlyMap<string, Vm>,
    copies: ReadonlyMap<string, Vm>,
    network: CutNetwork,
    work: WorkOptions,
  ): Promise<number> {
    const { controller, vms } = this.#ports;
    const dirOf = (inner: string): string => controller.dirs(copies.get(inner)?.id ?? '').dir;
    const { pausedMs, saved, sizes } = await this.#cutInto(members, dirOf, true, network, work);
    for (const { name, layers } of saved) {
      const copy = copies.get(name);
      if (copy === undefined) continue;
      await startChain(dirOf(name), layers, sizes.get(name) ?? 0, work.signal);
      await vms.update(copy.id, ({ spec, status }) => ({
        status:
          spec.power === 'suspended'
            ? { ...status, state: 'suspended', suspendedAt: new Date().toISOString() }
            : { ...status, state: 'stopped' },
      }));
    }
    return pausedMs;
  }

  /** In turn with all else that is done with any of them. */
  async #cutInto(
    members: ReadonlyMap<string, Vm>,
    dirOf: (inner: string) => string,
    isFork: boolean,
    network: CutNetwork,
    { signal }: WorkOptions,
  ) {
    const { controller, images } = this.#ports;
    const held: Array<{ inner: string; vm: Vm; live: LiveVm | undefined }> = [];
    const all = async () => {
      const sizes = new Map<string, number>();
      const cutMembers: CutMember[] = [];
      for (const { inner, vm, live } of held) {
        const { image } = await images.bootFiles(vm.spec, vm.status.imageDigest, { signal });
        const sizeBytes = diskSizeBytes(image, vm.spec.diskMib);
        sizes.set(inner, sizeBytes);
        cutMembers.push({ vm, live, dir: controller.dirs(vm.id).dir, sizeBytes, to: [dirOf(inner)] });
      }
      const { pausedMs, copies } = await cutTogether(cutMembers, { isFork, durable: !isFork, network, signal });
      const saved = copies.map(({ vm, layers, record }, index) => ({
        name: held[index]?.inner ?? '',
        spec: vm.spec,
        nics: vm.status.nics,
        imageDigest: vm.status.imageDigest ?? '',
        state: isAlive(vm.status.state) ? (vm.status.state as 'running' | 'paused') : ('stopped' as const),
        start: vm.status.start,
        layers: [...(layers[0] ?? [])],
        ...(record === undefined ? {} : { memory: record }),
      }));
      return { pausedMs, saved, sizes };
    };
    // Always in the same order, so that two who want the same VMs do not wait for each other.
    const sorted = [...members].toSorted(([, a], [, b]) => (a.id < b.id ? -1 : 1));
    const nest = (index: number): ReturnType<typeof all> => {
      const next = sorted[index];
      if (next === undefined) return all();
      const [inner, { id }] = next;
      return controller.exclusively(id, (vm, live) => {
        held.push({ inner, vm, live });
        return nest(index + 1);
      });
    };
    return nest(0);
  }
}

function networkNames(node: Node): string[] {
  return Object.keys(node.spec.networks).map((network) => networkName(node.name, network));
}

function nameTaken(name: string): SkerryError {
  return new SkerryError('conflict', `There is a node '${name}' already`, { remedy: 'Choose another name.' });
}

function noSave(node: string, save: string): SkerryError {
  return new SkerryError('not-found', `There is no save '${save}' of ${node}`, {
    remedy: `See \`skerry node saves ${node}\`.`,
  });
}

/** The host's ports stay with the original. */
function withoutForwards({ spec }: Node): Node['spec']['networks'] {
  return Object.fromEntries(
    Object.entries(spec.networks).map(([name, network]) => [
      name,
      network.forwards === undefined ? network : { ...network, forwards: [] },
    ]),
  );
}
