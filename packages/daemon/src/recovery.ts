import {
  lookAtBoot,
  markReturning,
  splitVmName,
  type BridgedNetworks,
  type EventLog,
  type FaultService,
  type LinkService,
  type NetworkService,
  type NicService,
  type NodeCopyService,
  type NodeService,
  type PoolService,
  type Resources,
  type Store,
  type TaskService,
  type TemplateService,
  type VmController,
  type VmService,
} from '@skerry/engine';
import { SkerryError, type NodeSpec, type NodeStatus } from '@skerry/api';
import type { VmForwards } from './forwards.ts';

/** What a daemon does first: it finds what an earlier one left, and goes on with what was begun. Nothing is started twice. */

export interface RecoveryPorts {
  readonly store: Store;
  readonly bootIdPath: string;
  readonly vms: VmService;
  readonly nodeResources: Resources<NodeSpec, NodeStatus>;
  readonly nodes: NodeService;
  readonly nodeCopies: NodeCopyService;
  readonly nics: NicService;
  readonly links: LinkService;
  readonly controller: VmController;
  readonly tasks: TaskService;
  readonly templates: TemplateService;
  readonly pools: PoolService;
  readonly networks: NetworkService;
  readonly bridged: BridgedNetworks;
  readonly forwards: VmForwards;
  readonly faults: FaultService;
  readonly events: EventLog;
  readonly makeEager: (images: readonly string[]) => void;
  readonly onError: (error: SkerryError, what: string) => void;
}

export interface Adopted {
  readonly adopted: number;
  readonly ended: number;
  readonly ms: number;
}

export class Recovery {
  readonly #ports: RecoveryPorts;

  constructor(ports: RecoveryPorts) {
    this.#ports = ports;
  }

  async run(): Promise<Adopted> {
    const { tasks, templates, pools, nodeCopies, networks, bridged, forwards, faults } = this.#ports;
    const startedAtMs = performance.now();
    await Promise.all([tasks.recover(), templates.recover(), pools.recover(), nodeCopies.recover()]);
    const counts = await this.#adoptAll();
    await faults.recover().catch((error: unknown) => this.#tell(error, 'faults'));
    const adoption = { ...counts, ms: Math.round(performance.now() - startedAtMs) };
    await bridged.recover().catch((error: unknown) => this.#tell(error, 'bridged networks'));
    await networks.recover().catch((error: unknown) => this.#tell(error, 'networks'));
    await forwards.sync().catch((error: unknown) => this.#tell(error, 'forwards'));
    forwards.follow();
    await this.#goOn();
    this.#ports.makeEager(await templates.eagerImages());
    pools.start();
    return adoption;
  }

  async #adoptAll(): Promise<{ adopted: number; ended: number }> {
    const { store, bootIdPath, vms, nodeResources, controller, networks, events } = this.#ports;
    const counts = { adopted: 0, ended: 0 };
    const boot = await lookAtBoot(store, bootIdPath);
    let isComplete = true;
    await Promise.all(
      (await vms.list()).map(async (vm) => {
        try {
          const found = await controller.adopt(vm, boot.hasRestarted);
          if (found === 'adopted') {
            counts.adopted += 1;
            await networks.plug(vm, controller.dirs(vm.id).runtimeDir);
          }
          if (found === 'ended') counts.ended += 1;
        } catch (error) {
          isComplete = false;
          this.#tell(error, `adoption of ${vm.name}`);
        }
      }),
    );
    if (boot.hasRestarted) {
      await markReturning({ nodes: nodeResources, vms });
      void events.emit({ type: 'host.restarted', message: `The host has restarted; ${counts.ended} VMs ran before` });
    }
    // Until all that follows from it is written down, the next daemon has to see it, too.
    if (isComplete) await boot.record();
    return counts;
  }

  /** What was begun goes on; a VM that a node waits for is the node's business. */
  async #goOn(): Promise<void> {
    const { nodes, vms, controller, nics, links } = this.#ports;
    const begunNodes = await nodes.recover();
    for (const vm of await vms.list()) {
      nics.settle(vm.id).catch((error: unknown) => this.#tell(error, `NICs of ${vm.name}`));
      const isNodes = begunNodes.has(splitVmName(vm.name).node ?? '');
      if (isNodes && vm.status.state !== 'deleting' && vm.status.state !== 'stopping') continue;
      const isGoing = vm.status.state === 'deleting';
      // What goes with it as well.
      (isGoing ? vms.delete(vm.id, { force: true }, {}) : controller.converge(vm.id)).catch((error: unknown) =>
        this.#tell(error, vm.name),
      );
    }
    await links.recover();
  }

  #tell(error: unknown, what: string): void {
    this.#ports.onError(SkerryError.from(error), what);
  }
}
