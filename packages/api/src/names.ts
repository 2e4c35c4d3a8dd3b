import { z } from 'zod';

/** A DNS label (RFC 1123 section 2.1): safe in host names, paths, argv and rules. `--title` takes any text. */
const DNS_LABEL = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;
const LABEL_REMEDY = 'use 1 to 63 of a-z, 0-9 and -, not at either end (any text can go into --title)';

export const Name = z.string().regex(DNS_LABEL, { message: `not a name: ${LABEL_REMEDY}` });

/** How a VM is addressed: NAME, NODE/NAME or its id. */
export const VmRef = z
  .string()
  .refine((text) => isVmRef(text), { message: `not a VM: write NAME, NODE/NAME or an id; ${LABEL_REMEDY}` });

export function isName(text: string): boolean {
  return DNS_LABEL.test(text);
}

export function isVmRef(text: string): boolean {
  const parts = text.split('/');
  return parts.length <= 2 && parts.every((part) => DNS_LABEL.test(part));
}

/** The last part of NODE/NAME: the VM's own host name. */
export function hostnameOf(vmName: string): string {
  return vmName.slice(vmName.indexOf('/') + 1);
}

/** A path inside a guest: absolute, no NUL. */
export const GuestPath = z
  .string()
  .max(4096)
  .regex(/^\/[^\0]*$/, { message: 'not an absolute path in the guest: start it with /' });
