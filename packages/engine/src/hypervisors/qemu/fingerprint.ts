import { createHash } from 'node:crypto';
import type { VmLaunch } from '../contract.ts';
import { qemuPlan } from './args.ts';
import { qemuFeatures } from './features.ts';
import { identityOf } from './identity.ts';

/**
 * Hash of what two machines must have in common when one shall go on from the other's memory: the same QEMU, to the file,
 * with the same devices in the same order, and the same kernel and initramfs (whose paths name their content).
 */
export async function fingerprint(launch: VmLaunch, binary: string): Promise<string> {
  // A rate that was measured is never the same twice, and a guest that has booted asks for it no more; a generation is new each time.
  const features = await qemuFeatures(binary);
  const { argv } = qemuPlan({ ...launch, tscKhz: undefined, generation: undefined }, { binary, features });
  const { path, initrdPath } = launch.kernel;
  const parts = [await identityOf(binary), argv, path, initrdPath, launch.cpus, launch.memoryMib];
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex');
}
