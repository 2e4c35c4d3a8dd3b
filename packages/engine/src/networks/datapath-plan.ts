import { SkerryError, type NetworkMode, type NetworkSpec, type NetworkStatus } from '@skerry/api';
import type { KernelSupport } from './kernel/support-plan.ts';

/** Pure: who carries the frames of a network. */

export type DatapathName = NetworkStatus['datapath'];

/** What this host can do. */
export interface DatapathCapabilities {
  /** Why it can't use bridges of the kernel, and what to do about it; undefined when it can. */
  /** Absent: it is not looked at. */
  readonly kernel?: KernelSupport | undefined;
  readonly kernelLack: { readonly reason: string; readonly remedy: string } | undefined;
}

/** They are made of the kernel's devices: an interface of the host, a tunnel. */
const KERNEL_ONLY: ReadonlySet<NetworkMode> = new Set(['bridged', 'overlay']);

/**
 * @param wish what was asked for; undefined: what the mode needs
 * @throws SkerryError `invalid` (the mode can't be on what was wished), `unsupported` (this host can't)
 */
export function datapathFor(
  mode: NetworkMode,
  wish: NetworkSpec['datapath'],
  { kernelLack }: DatapathCapabilities,
): DatapathName {
  const needsKernel = KERNEL_ONLY.has(mode);
  if (needsKernel && wish === 'user') {
    throw new SkerryError('invalid', `A network of mode ${mode} can not be on the user datapath`, {
      remedy: 'Leave --datapath out.',
    });
  }
  if (!needsKernel && wish !== 'kernel') return 'user';
  if (kernelLack === undefined) return 'kernel';
  const what = needsKernel ? `A network of mode ${mode}` : 'The kernel datapath';
  throw new SkerryError('unsupported', `${what} is not possible here: ${kernelLack.reason}`, {
    remedy: kernelLack.remedy,
  });
}
