import { z } from 'zod';
import { isVmRef, Name } from './names.ts';

/** A NIC of a VM: eth0 is the first of `nics`, eth1 the second, unless they say otherwise. */

export const MAX_NICS = 8;

/** IEEE 802.1Q: 0 and 4095 are reserved. */
export const Vlan = z.int().min(1, 'a VLAN is 1 to 4094').max(4094, 'a VLAN is 1 to 4094');
export const VlanRange = z
  .strictObject({ from: Vlan, to: Vlan })
  .refine(({ from, to }) => from <= to, 'the first VLAN of a range is the lower one');
export type VlanRange = z.infer<typeof VlanRange>;

export const Mac = z.string().regex(/^[0-9a-f]{2}(?::[0-9a-f]{2}){5}$/);

const NicIndex = z
  .int()
  .min(0)
  .max(MAX_NICS - 1);

export const Nic = z.strictObject({
  network: Name,
  /** N of ethN, of one that was added to a VM, or is after a gap; default: its place in the list. */
  index: NicIndex.optional(),
  mac: Mac.optional(),
  /** Without one, the network's next free address; it stays until the VM is deleted. */
  address: z.ipv4().optional(),
  /** Its frames get this tag on their way in, and lose it on their way out. */
  vlan: Vlan.optional(),
  /** It sends and gets frames with these tags. */
  trunk: z.array(VlanRange).max(64).optional(),
  /** In each direction. */
  rateKbit: z.int().min(8).max(100_000_000).optional(),
  /** `down`: the guest sees no carrier. */
  link: z.enum(['up', 'down']).optional(),
});
export type Nic = z.infer<typeof Nic>;

export const NicStatus = z.object({
  network: z.string(),
  /** As in the spec. */
  index: NicIndex.optional(),
  mac: z.string(),
  address: z.string(),
  /** In the network's /64, if it has one. */
  address6: z.string().optional(),
  /** What was begun with it while the VM ran, and is not done yet; and what the guest may still call it by. */
  pending: z.object({ what: z.enum(['add', 'change', 'remove']), mac: z.string() }).optional(),
});
export type NicStatus = z.infer<typeof NicStatus>;

/** What is asked of a NIC that a VM gets. */
export const NicAdd = Nic.superRefine(checkNic);
export type NicAddInput = z.input<typeof NicAdd>;

/** As a VM is declared with it: its place in the list is its number. */
export const DeclaredNic = Nic.omit({ index: true });
export type DeclaredNic = z.infer<typeof DeclaredNic>;

/** What is left out stays; null is the default again. */
export const NicSet = z
  .strictObject({
    mac: Mac.optional(),
    address: z.ipv4().optional(),
    vlan: Vlan.nullable().optional(),
    trunk: Nic.shape.trunk.unwrap().nullable().optional(),
    rateKbit: Nic.shape.rateKbit.unwrap().nullable().optional(),
    link: z.enum(['up', 'down']).optional(),
  })
  .superRefine(checkNic);
export type NicSet = z.infer<typeof NicSet>;

/** A NIC as its VM has it: the wish, and what it was given. */
export const NicInfo = Nic.omit({ index: true }).extend({
  /** What the guest calls it, such as eth1. */
  name: z.string(),
  mac: z.string(),
  address: z.string(),
  address6: z.string().optional(),
  link: z.enum(['up', 'down']),
});
export type NicInfo = z.infer<typeof NicInfo>;

/** ethN */
export const NicName = z.string().regex(/^eth[0-7]$/, { message: 'not a NIC: eth0 to eth7' });

/** A NIC by its VM and what the guest calls it: `web:eth1`, `lab/web:eth1`. */
export const NicRef = z.string().refine((text) => nicRefParts(text) !== undefined, {
  message: 'not a NIC of a VM: write VM:NIC, such as web:eth1 (eth0 to eth7)',
});

/** @returns undefined: it is none */
export function nicRefParts(text: string): { vm: string; nic: string; index: number } | undefined {
  const [, vm = '', nic = '', index = ''] = /^([^:]+):(eth([0-7]))$/.exec(text) ?? [];
  return isVmRef(vm) ? { vm, nic, index: Number(index) } : undefined;
}

/** What of a NIC no single field can tell. */
export function checkNic(
  nic: { vlan?: unknown; trunk?: unknown; mac?: string | undefined },
  context: z.core.$RefinementCtx,
): void {
  if ((nic.vlan ?? undefined) !== undefined && (nic.trunk ?? undefined) !== undefined)
    context.addIssue({ code: 'custom', path: ['trunk'], message: 'a NIC is of one VLAN, or a trunk of several' });
  // IEEE 802 section 8.2: the lowest bit of the first octet marks a group.
  if (nic.mac !== undefined && (Number.parseInt(nic.mac.slice(0, 2), 16) & 1) === 1)
    context.addIssue({ code: 'custom', path: ['mac'], message: 'the address of a group is no address of a NIC' });
}
