import { SkerryError } from '@skerry/api';
import { buildInitrd } from './initrd.ts';
import { buildKernel, findKernel } from './kernel.ts';
import type { Kernel } from './kernel-plan.ts';
import type { BuildOptions, ImagePaths } from './types.ts';

/** A VM that runs a recipe's commands on the disk that becomes the image. Disposing it ends it at once. */
export interface BuilderGuest extends AsyncDisposable {
  /** One line by the guest's `sh -c`, as root, in `/`. */
  run(
    line: string,
    options: { env: Readonly<Record<string, string>>; signal?: AbortSignal; onLine: (line: string) => void },
  ): Promise<{ exitCode: number | null; signal: string | null }>;
  /** Writes everything back and powers off; resolves once nothing has the disk open. */
  powerOff(): Promise<void>;
}

/** How the engine boots such a VM: without a network, the disk written in place. */
export type BootBuilder = (options: {
  disk: { path: string; format: 'qcow2' | 'raw' };
  kernel: Kernel;
  initrdPath: string;
  memoryMib: number;
  signal?: AbortSignal;
}) => Promise<BuilderGuest>;

const BUILDER_MEMORY_MIB = 256;
const TAIL_LINES = 20;

/**
 * Runs the lines in order inside a VM, never on the host.
 * @throws SkerryError `failed` with the line and the end of its output
 */
export async function runInGuest(
  paths: ImagePaths,
  disk: { path: string; format: 'qcow2' | 'raw' },
  recipe: { run: readonly string[]; env: Readonly<Record<string, string>>; minMemoryMib: number },
  bootBuilder: BootBuilder,
  options: BuildOptions,
): Promise<void> {
  const signal = options.signal === undefined ? {} : { signal: options.signal };
  const kernel =
    (await findKernel(paths, 'micro')) ??
    (await findKernel(paths, 'distro')) ??
    (await buildKernel(paths, 'distro', options));
  const { path: initrdPath } = await buildInitrd(paths, kernel, options);
  const memoryMib = Math.max(BUILDER_MEMORY_MIB, recipe.minMemoryMib);
  options.onProgress?.('Starting a VM for the recipe’s commands');
  await using guest = await bootBuilder({ disk, kernel, initrdPath, memoryMib, ...signal });
  for (const [index, line] of recipe.run.entries()) {
    options.onProgress?.(`Running command ${index + 1} of ${recipe.run.length}: ${line.split('\n')[0]?.slice(0, 60)}`);
    const tail: string[] = [];
    const result = await guest.run(line, {
      env: recipe.env,
      ...signal,
      onLine: (text) => {
        tail.push(text);
        if (tail.length > TAIL_LINES) tail.shift();
      },
    });
    options.signal?.throwIfAborted();
    if (result.exitCode !== 0) throw commandFailed(line, result, tail);
  }
  await guest.powerOff();
}

function commandFailed(
  line: string,
  result: { exitCode: number | null; signal: string | null },
  tail: readonly string[],
): SkerryError {
  const how = result.exitCode === null ? `signal ${result.signal}` : `exit code ${result.exitCode}`;
  const last = tail.findLast((text) => text.trim() !== '');
  return new SkerryError('failed', `A command of the recipe failed (${how})${last === undefined ? '' : `: ${last}`}`, {
    remedy: 'Correct the line under `run`: it runs in a VM with this disk, as root, without a network.',
    details: { line, output: tail.join('\n'), ...result },
  });
}
