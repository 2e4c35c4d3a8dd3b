import { VmApply, VmRename, VmSet } from '@skerry/api';
import type { Platform } from '../platform.ts';
import { workOf, type Handlers } from './routes.ts';

/** Operations that change what is asked of VMs. */

export function changeHandlers({ changes, host, vms }: Pick<Platform, 'changes' | 'host' | 'vms'>): Handlers {
  const answers: Handlers['answers'] = {
    'vm.set': async (request, { vm = '' }) => {
      const patch = VmSet.parse(request.body ?? {});
      return changes.set((await vms.get(vm)).id, patch);
    },
    'vm.rename': async (request, { vm = '' }) => {
      const { name } = VmRename.parse(request.body ?? {});
      return changes.rename((await vms.get(vm)).id, name);
    },
    'vm.plan': (request) => changes.plan(VmApply.parse(request.body)),
  };
  const works: Handlers['works'] = {
    'vm.apply': async (request) => {
      const wanted = VmApply.parse(request.body);
      await host.profile(); // without a hypervisor nothing is begun
      await changes.plan(wanted);
      return { description: `Apply ${wanted.vm.name}`, run: (context) => changes.apply(wanted, workOf(context)) };
    },
  };
  return { answers, works };
}
