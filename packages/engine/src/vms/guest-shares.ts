import { constants } from 'node:os';
import { SkerryError, type Share, type ShareStatus, type Vm, type VmStatus } from '@skerry/api';
import { shareTag } from '../hypervisors/index.ts';
import type { AgentClient, CallOptions } from './agent/index.ts';
import type { LiveVm } from './live.ts';
import { assertSavable, howOf } from './share-plan.ts';

/** Shared directories in the guest: mounted by its agent, and let go of while its memory is written. */

/** 9p's: the largest that a virtqueue of 128 descriptors carries, see docs/decisions/shares.md for what was measured. */
const OPTIONS = {
  '9p': 'trans=virtio,version=9p2000.L,msize=512000,cache=mmap,access=any,nosuid,nodev',
  virtiofs: 'nosuid,nodev',
} as const;

/**
 * @param shares in the order of the machine's devices
 * @throws SkerryError what the guest said; none is mounted then
 */
export async function mountShares(
  agent: AgentClient,
  shares: readonly Share[],
  options: CallOptions = {},
): Promise<ShareStatus[]> {
  const mounted: ShareStatus[] = [];
  for (const [index, share] of shares.entries()) {
    try {
      await mountOne(agent, share, index, options);
      mounted.push({ ...share, how: howOf(share), mounted: true });
    } catch (error) {
      for (const { guestPath } of mounted.toReversed()) await agent.unmount(guestPath).catch(() => undefined);
      const { code, message, details } = SkerryError.from(error);
      throw new SkerryError(code, `${share.hostPath} could not be shared: ${message}`, {
        remedy: `See what is at ${share.guestPath} in the guest, or choose another place there.`,
        details,
        cause: error,
      });
    }
  }
  return mounted;
}

/**
 * QEMU writes no machine's memory while it has one of them mounted: what the host has open for it is nowhere in there
 * (hw/9pfs/9p.c, migration_blocker).
 * @throws SkerryError `in-use`: a process of the guest is in it; all are mounted as before
 */
export async function unmountShares(
  agent: AgentClient,
  name: string,
  shares: readonly ShareStatus[] = [],
  options: CallOptions = {},
): Promise<void> {
  const done: ShareStatus[] = [];
  for (const share of shares) {
    if (!share.mounted) continue;
    try {
      await agent.unmount(share.guestPath, options);
      done.push(share);
    } catch (error) {
      // Nothing is mounted there: somebody in the guest was sooner.
      if (SkerryError.from(error).details?.['errno'] === constants.errno.EINVAL) continue;
      await mountAgain(
        agent,
        shares.map((each) => ({ ...each, mounted: done.includes(each) })),
      );
      throw inUse(name, share, error);
    }
  }
}

/**
 * For a VM whose memory is to be written, with no process in between that could miss them: they stand still from here on.
 * @returns what takes it back, for when nothing came of it
 * @throws SkerryError `in-use`, `unsupported` (virtiofs), `wrong-state` (its CPUs stand still, so nothing can be unmounted); all is as before
 */
export async function letGoOfShares(
  { name, status }: Vm,
  live: LiveVm,
  signal: AbortSignal | undefined,
): Promise<() => Promise<void>> {
  assertSavable(name, status);
  if (!hasMounted(status)) return async () => {};
  assertCanUnmount(name, live);
  const agent = await live.agentSoon();
  await agent.freeze({ signal });
  try {
    await unmountShares(agent, name, status.shares, { signal });
  } catch (error) {
    await agent.thaw();
    throw error;
  }
  return async () => {
    await mountAgain(agent, status.shares);
    await agent.thaw();
  };
}

export function hasMounted({ shares = [] }: Pick<VmStatus, 'shares'>): boolean {
  return shares.some(({ mounted }) => mounted);
}

/** @throws SkerryError `wrong-state` */
export function assertCanUnmount(name: string, { machine }: LiveVm): void {
  if (machine.state() !== 'paused') return;
  throw new SkerryError(
    'wrong-state',
    `${name} is paused, and has a shared directory mounted, which its memory can not be written with`,
    {
      remedy: `Let it go on first: \`skerry resume ${name}\`.`,
    },
  );
}

/**
 * After `unmountShares`, or in memory that was written after it. A VM is worth more than its shares: it goes on without one
 * that the guest can not mount any more.
 * @returns with what is mounted now
 */
export async function mountAgain(agent: AgentClient, shares: readonly ShareStatus[] = []): Promise<ShareStatus[]> {
  const now: ShareStatus[] = [];
  for (const [index, share] of shares.entries()) {
    const mounted = share.mounted && (await mountOne(agent, share, index, {}).then(succeeded, failed));
    now.push({ ...share, mounted });
  }
  return now;
}

async function mountOne(agent: AgentClient, share: Share, index: number, call: CallOptions) {
  const { guestPath, readonly } = share;
  const fstype = howOf(share);
  const options = readonly ? `ro,${OPTIONS[fstype]}` : OPTIONS[fstype];
  const spec = { source: shareTag(index), target: guestPath, fstype, options };
  try {
    await agent.mount(spec, call);
  } catch (error) {
    if (SkerryError.from(error).code !== 'in-use') throw error;
    // A daemon that died had begun with it.
    await agent.unmount(guestPath, call).catch(() => undefined);
    await agent.mount(spec, call);
  }
}

const succeeded = (): boolean => true;
const failed = (): boolean => false;

function inUse(name: string, { guestPath }: Share, cause: unknown): SkerryError {
  const { code, message } = SkerryError.from(cause);
  if (code !== 'in-use') {
    return new SkerryError(code, `${guestPath} could not be unmounted in ${name}: ${message}`, {
      remedy: `See \`skerry exec ${name} -- mount\`, then try again.`,
      cause,
    });
  }
  return new SkerryError(
    'in-use',
    `A process in ${name} is in ${guestPath}, a shared directory, which its memory can not be written with`,
    {
      remedy: `End it, or let it leave the directory: \`skerry exec ${name} -- sh -c 'ls -l /proc/*/cwd /proc/*/fd | grep ${guestPath}'\` shows what it has.`,
      details: { guestPath },
      cause,
    },
  );
}
