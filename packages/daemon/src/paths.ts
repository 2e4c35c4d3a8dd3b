import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { BOOT_ID_PATH, ensurePaths, hostPaths, type ImagePaths } from '@skerry/engine';

/** Where the daemon keeps what, and where the repository (or the package) has what it needs. */
export interface DaemonPaths {
  readonly dataDir: string;
  readonly runtimeDir: string;
  readonly cacheDir: string;
  readonly socketPath: string;
  readonly instance: string;
  readonly images: ImagePaths;
  /**
   * Its content changes when no process of before can be left. SKERRY_BOOT_ID_FILE names another one: a container that is
   * started again keeps the kernel's own boot id.
   */
  readonly bootIdPath: string;
}

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));

export async function daemonPaths(): Promise<DaemonPaths> {
  const uid = process.getuid?.() ?? 0;
  const { paths, instance } = await ensurePaths(hostPaths(process.env, uid), uid);
  return {
    ...paths,
    instance,
    bootIdPath: process.env['SKERRY_BOOT_ID_FILE'] || BOOT_ID_PATH,
    socketPath: join(paths.runtimeDir, 'skerryd.sock'),
    images: {
      cacheDir: paths.cacheDir,
      imagesDir: join(paths.dataDir, 'images'),
      guestDir: join(ROOT, 'guest'),
      agentBinary: join(ROOT, 'native', 'build', 'agent'),
    },
  };
}
