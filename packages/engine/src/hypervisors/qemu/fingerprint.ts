import { createHash } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { delimiter, isAbsolute, join } from 'node:path';
import type { VmLaunch } from '../contract.ts';
import { qemuPlan } from './args.ts';

/**
 * Hash of what two machines must have in common when one shall go on from the other's memory: the same QEMU, to the file,
 * with the same devices in the same order, and the same kernel and initramfs (whose paths name their content).
 */
export async function fingerprint(launch: VmLaunch, binary: string): Promise<string> {
  // A rate that was measured is never the same twice, and a guest that has booted asks for it no more.
  const { argv } = qemuPlan({ ...launch, tscKhz: undefined }, { binary });
  const { path, initrdPath } = launch.kernel;
  const parts = [await identityOf(binary), argv, path, initrdPath, launch.cpus, launch.memoryMib];
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex');
}

/** Changes when a package is upgraded, without asking QEMU: that takes 20 ms, at every start. */
async function identityOf(binary: string): Promise<string> {
  const folders = isAbsolute(binary) ? [''] : (process.env['PATH'] ?? '').split(delimiter);
  for (const folder of folders) {
    const found = await stat(folder === '' ? binary : join(folder, binary)).catch(() => undefined);
    if (found !== undefined) return `${found.dev} ${found.ino} ${found.size} ${found.mtimeMs}`;
  }
  return 'not installed';
}
