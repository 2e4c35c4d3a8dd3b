import { OPERATIONS, Share } from '@skerry/api';
import { refOf } from '@skerry/engine';
import type { Platform } from '../platform.ts';
import { workOf, type Handlers } from './routes.ts';

/** Operations about directories of the host that VMs see. */
export function shareHandlers({ vms, shares }: Pick<Platform, 'vms' | 'shares'>): Handlers {
  return {
    answers: {
      'vm.share.list': async (_, { vm = '' }) => shares.list((await vms.get(vm)).id),
    },
    works: {
      'vm.share.add': async (request, params) => {
        const share = Share.parse(request.body);
        const vm = await vms.get(params['vm'] ?? '');
        return {
          description: `Share ${share.hostPath} with ${vm.name}`,
          target: refOf(vm),
          run: (context) => shares.add(vm.id, share, workOf(context)),
        };
      },
      'vm.share.remove': async (request, params) => {
        const { guestPath } = OPERATIONS['vm.share.remove'].query.parse(request.query);
        const vm = await vms.get(params['vm'] ?? '');
        return {
          description: `Share ${guestPath} of ${vm.name} no longer`,
          target: refOf(vm),
          run: () => shares.remove(vm.id, guestPath),
        };
      },
    },
  };
}
