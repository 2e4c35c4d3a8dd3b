import { SkerryError, type VmSpec } from '@skerry/api';

/** Pure: the memory without which a VM does not boot. Less ends in a panic that nobody sees. */

export interface MemoryNeed {
  readonly image: { readonly minMemoryMib: number };
  readonly kernel: { readonly which: 'micro' | 'distro' };
  readonly kernelMinMemoryMib: number;
}

export interface MemoryLack {
  readonly message: string;
  readonly neededMib: number;
  /** Another way than more memory, to be added to a remedy: ', or ...'. */
  readonly instead: string;
}

type Wish = Pick<VmSpec, 'image' | 'kernel' | 'memoryMib'>;

/** @returns undefined: it has enough */
export function memoryLack(wish: Wish, { image, kernel, kernelMinMemoryMib }: MemoryNeed): MemoryLack | undefined {
  const neededMib = Math.max(image.minMemoryMib, kernelMinMemoryMib);
  if (wish.memoryMib >= neededMib) return undefined;
  const tooLittle = `${wish.memoryMib} MiB of memory is too little`;
  const kernelIsIt = kernel.which === 'distro' && wish.memoryMib >= image.minMemoryMib;
  if (!kernelIsIt)
    return { message: `${tooLittle}: the image '${wish.image}' needs ${neededMib} MiB`, neededMib, instead: '' };
  return {
    message: `${tooLittle}: the distribution's kernel needs ${neededMib} MiB`,
    neededMib,
    instead:
      wish.kernel === 'distro'
        ? ', or take our own kernel, which needs less: --kernel micro'
        : ', or wait for our own kernel, which needs less and is being built: --kernel micro',
  };
}

/** @throws SkerryError `invalid` */
export function assertMemory(wish: Wish, need: MemoryNeed): void {
  const lack = memoryLack(wish, need);
  if (lack === undefined) return;
  throw new SkerryError('invalid', lack.message, {
    remedy: `Ask for at least --memory ${lack.neededMib}Mi${lack.instead}.`,
  });
}
