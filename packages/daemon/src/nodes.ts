import {
  NodeCopyService,
  NodeService,
  NodeVerbs,
  type Admission,
  type EventLog,
  type ImageService,
  type CopyPorts,
  type NodePorts,
  type Resources,
  type VmController,
  type VmService,
  type WorkOptions,
} from '@skerry/engine';
import type { ImageRecipe, NodeSpec, Vm, VmSpec, VmStatus } from '@skerry/api';
import type { VmForwards } from './forwards.ts';
import type { openNetworks } from './networks.ts';

/** Nodes put together: what is done with them as a whole, and copies of them. */

export interface NodeParts extends Pick<NodePorts, 'nodes' | 'shares' | 'onError'> {
  readonly vms: Resources<VmSpec, VmStatus>;
  readonly vmService: VmService;
  readonly controller: VmController;
  readonly admission: Admission;
  readonly images: ImageService;
  readonly forwards: VmForwards;
  readonly network: Pick<ReturnType<typeof openNetworks>, 'verbs' | 'service'>;
  readonly events: EventLog;
  readonly savesDir: CopyPorts['savesDir'];
}

export interface NodeServices {
  readonly nodeService: NodeService;
  readonly nodeVerbs: NodeVerbs;
  readonly nodeCopies: NodeCopyService;
}

export function openNodes(parts: NodeParts): NodeServices {
  const { nodes, vms, vmService, controller, admission, images, forwards, network, events, savesDir } = parts;
  const ports = {
    ...{ nodes, vms: vmService, admission, events, shares: parts.shares, onError: parts.onError },
    imageDigest: (name: string, recipe: ImageRecipe | undefined) => images.digestOf(name, recipe),
    buildImage: (name: string, recipe: ImageRecipe | undefined, work: WorkOptions) => images.ensure(name, recipe, work),
    networks: network.verbs,
    assertPortsFree: (spec: NodeSpec, members: ReadonlyMap<string, Vm>) =>
      forwards.assertFree(
        Object.values(spec.vms).flatMap((vm) => vm.forwards),
        [...members.values()].map((vm) => vm.id),
      ),
    // What is declared of frames is taken up as well.
    forwardsChanged: async () => {
      await forwards.sync();
      await network.service.changed();
    },
    onDeleted: (id: string) => nodeCopies.forget(id),
  };
  const nodeService: NodeService = new NodeService({
    ...ports,
    resume: (node, work) =>
      work.kind === 'restore' ? nodeCopies.resume(node, work.save) : nodeVerbs.resume(node, work),
  });
  const nodeVerbs = new NodeVerbs({ ...ports, nodeService, resources: vms, controller, images });
  const nodeCopies: NodeCopyService = new NodeCopyService({
    ...{ nodes, nodeService, admission, vms, service: vmService, controller, images, events, savesDir },
    networks: network.verbs,
    cut: (names) => network.service.cut(names),
    onItsWay: {
      drop: (ids) => network.service.dropOnItsWay(ids),
      put: (kept) => network.service.putOnItsWay(kept),
    },
  });
  return { nodeService, nodeVerbs, nodeCopies };
}
