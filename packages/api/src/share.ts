import { z } from 'zod';

/** Directories of the host that a guest sees. */

/** Where a directory of the host would hide what the guest lives on. */
const SYSTEM_TREES = ['/proc', '/sys', '/dev', '/run'];
const SYSTEM_DIRS = ['/', '/bin', '/sbin', '/lib', '/lib64', '/usr', '/etc', '/boot'];
const ELSEWHERE = 'choose a directory of its own, such as /mnt/src';

/** Absolute, without `.`, `..`, doubled or closing slashes: the same place is always written the same. */
export const ShareGuestPath = z
  .string()
  .max(1024)
  .regex(/^\/[^\p{Cc}:]*$/u, { message: 'not an absolute path in the guest: start it with / (and no colon)' })
  .transform((path) => (path.length > 1 ? path.replace(/\/+$/, '') || '/' : path))
  .superRefine((path, context) => {
    const add = (message: string): void => context.addIssue({ code: 'custom', message });
    if (
      path !== '/' &&
      path
        .slice(1)
        .split('/')
        .some((part) => part === '' || part === '.' || part === '..')
    ) {
      add(`${path} has an empty part, '.' or '..' in it: write it out`);
    } else if (SYSTEM_DIRS.includes(path) || SYSTEM_TREES.some((tree) => isWithin(path, tree))) {
      add(`${path} is what the guest itself lives on: ${ELSEWHERE}`);
    }
  });

/** Which device the guest has it by. virtiofs is for VMs that boot: see docs/shares.md. */
export const ShareHow = z.enum(['9p', 'virtiofs']);
export type ShareHow = z.infer<typeof ShareHow>;

export const Share = z.strictObject({
  /** A directory of the daemon's host. */
  hostPath: z
    .string()
    .max(4096)
    .regex(/^\/[^\p{Cc}]*$/u, { message: 'not an absolute path of the host: start it with /' }),
  /** Where the guest has it; made if it is not there. */
  guestPath: ShareGuestPath,
  /** The host lets nothing be written, whatever the guest tries. */
  readonly: z.boolean().default(false),
  /** Absent: 9p. */
  how: ShareHow.optional(),
});
export type Share = z.infer<typeof Share>;
export type ShareInput = z.input<typeof Share>;

export const Shares = z
  .array(Share)
  .max(16)
  .superRefine((shares, context) => {
    for (const [index, { guestPath }] of shares.entries()) {
      const other = shares.slice(0, index).find((each) => overlap(each.guestPath, guestPath));
      if (other === undefined) continue;
      const message =
        other.guestPath === guestPath
          ? `${guestPath} is the place of two shares: give each a place of its own`
          : `${guestPath} and ${other.guestPath} lie in each other: give each share a place of its own`;
      context.addIssue({ code: 'custom', path: [index, 'guestPath'], message });
    }
  });

/** Of a running VM: what its process has. */
export const ShareStatus = Share.extend({ how: ShareHow, mounted: z.boolean() });
export type ShareStatus = z.infer<typeof ShareStatus>;

/**
 * `mounted`: the guest has it. `unmounted`: it had it. `at-next-start`: wanted, the running VM does not know of it.
 * `until-stop`: not wanted any more and unmounted (or in use); root in the guest can reach it until the VM stops.
 */
export const ShareState = z.enum(['mounted', 'unmounted', 'at-next-start', 'until-stop']);
export type ShareState = z.infer<typeof ShareState>;

export const ShareInfo = Share.extend({ how: ShareHow, state: ShareState });
export type ShareInfo = z.infer<typeof ShareInfo>;

function overlap(a: string, b: string): boolean {
  return isWithin(a, b) || isWithin(b, a);
}

function isWithin(path: string, tree: string): boolean {
  return path === tree || path.startsWith(`${tree}/`);
}
