import { z } from 'zod';
import { CaptureInfo, CaptureStart } from './capture.ts';
import { LinkCreate, LinkInfo } from './link.ts';
import { NicAdd, NicInfo, NicSet } from './nic.ts';
import type { Operation } from './operation.ts';

/** Calls about NICs of VMs, the links between them, and what passes at them. A part of OPERATIONS. */
export const NIC_OPERATIONS = {
  'vm.nic.list': {
    method: 'GET',
    path: '/vms/{vm}/nics',
    kind: 'json',
    summary: 'Its NICs: networks, addresses, and what is asked of them',
    result: z.array(NicInfo),
  },
  'vm.nic.add': {
    method: 'POST',
    path: '/vms/{vm}/nics',
    kind: 'task',
    summary: 'Give it a NIC; one that runs has it at once',
    body: NicAdd,
    result: NicInfo,
  },
  'vm.nic.set': {
    method: 'PATCH',
    path: '/vms/{vm}/nics/{nic}',
    kind: 'task',
    summary: 'Change a NIC (eth1): address, MAC, VLAN, rate, cable; what is left out stays',
    body: NicSet,
    result: NicInfo,
  },
  'vm.nic.remove': {
    method: 'DELETE',
    path: '/vms/{vm}/nics/{nic}',
    kind: 'task',
    summary: 'Take a NIC (eth1) from it; one that runs loses it at once',
    result: z.array(NicInfo),
  },

  'link.list': {
    method: 'GET',
    path: '/links',
    kind: 'json',
    summary: 'All links, and the NICs at their ends',
    result: z.array(LinkInfo),
  },
  'link.create': {
    method: 'POST',
    path: '/links',
    kind: 'task',
    summary: 'Make a wire between two new NICs; VMs that run have them at once',
    body: LinkCreate,
    result: LinkInfo,
  },
  'link.delete': {
    method: 'DELETE',
    path: '/links/{link}',
    kind: 'task',
    summary: 'Take a link away, by one of its ends (web:eth1) or its name, and the NICs at both ends',
    result: z.object({}),
  },

  'capture.list': {
    method: 'GET',
    path: '/captures',
    kind: 'json',
    summary: 'Captures that run, and what is kept of those that have ended',
    result: z.array(CaptureInfo),
  },
  'capture.start': {
    method: 'POST',
    path: '/vms/{vm}/nics/{nic}/capture',
    kind: 'json',
    summary: 'Keep what passes at a NIC (eth1) from now on',
    body: CaptureStart,
    result: CaptureInfo,
  },
  'capture.stop': {
    method: 'DELETE',
    path: '/vms/{vm}/nics/{nic}/capture',
    kind: 'json',
    summary: 'Keep no more; what was kept can still be read',
    result: CaptureInfo,
  },
  'capture.read': {
    method: 'GET',
    path: '/vms/{vm}/nics/{nic}/capture',
    kind: 'bytes',
    summary:
      'What a capture has kept, as pcap; with `follow` then also what comes, or without a capture what passes from now on',
    query: z.strictObject({ follow: z.stringbool().default(false) }),
    result: z.unknown(),
  },
} as const satisfies Record<string, Operation>;
