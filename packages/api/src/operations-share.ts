import { z } from 'zod';
import type { Operation } from './operation.ts';
import { Share, ShareGuestPath, ShareInfo } from './share.ts';

/** Calls about directories of the host that a VM sees. A part of OPERATIONS. */
export const SHARE_OPERATIONS = {
  'vm.share.list': {
    method: 'GET',
    path: '/vms/{vm}/shares',
    kind: 'json',
    summary: 'The directories of the host that it sees, and whether it has them now',
    result: z.array(ShareInfo),
  },
  'vm.share.add': {
    method: 'POST',
    path: '/vms/{vm}/shares',
    kind: 'task',
    summary: 'Share a directory with it, from its next start',
    body: Share,
    result: z.array(ShareInfo),
  },
  'vm.share.remove': {
    method: 'DELETE',
    path: '/vms/{vm}/shares',
    kind: 'task',
    summary: 'Share a directory no longer; a running VM has it unmounted at once',
    query: z.strictObject({ guestPath: ShareGuestPath }),
    result: z.array(ShareInfo),
  },
} as const satisfies Record<string, Operation>;
