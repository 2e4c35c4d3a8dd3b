import { OPERATIONS, type Autostart, type Node, type Vm } from '@skerry/api';
import { refOf, type EventLog } from '@skerry/engine';
import type { Handlers } from './routes.ts';

/** Operations about what becomes of VMs and nodes when their host restarts. */

export interface LifePlatform {
  readonly vms: { get(ref: string): Promise<Vm>; setAutostart(id: string, autostart: Autostart): Promise<Vm> };
  readonly nodes: { setAutostart(ref: string, autostart: Autostart): Promise<Node> };
  readonly events: EventLog;
}

export function lifeHandlers({ vms, nodes, events }: LifePlatform): Handlers {
  const tell = <T extends Vm | Node>(resource: T, autostart: Autostart): T => {
    const message = `${resource.name}: autostart ${autostart}`;
    void events.emit({ type: `${resource.kind}.autostart`, subject: refOf(resource), message });
    return resource;
  };
  return {
    answers: {
      'vm.autostart': async (request, { vm = '' }) => {
        const { autostart } = OPERATIONS['vm.autostart'].body.parse(request.body);
        return tell(await vms.setAutostart((await vms.get(vm)).id, autostart), autostart);
      },
      'node.autostart': async (request, { node = '' }) => {
        const { autostart } = OPERATIONS['node.autostart'].body.parse(request.body);
        return tell(await nodes.setAutostart(node, autostart), autostart);
      },
    },
    works: {},
  };
}
