/** Kernel modules, read from the files themselves: the package has no modules.dep (depmod makes it on installation). */

export interface ModuleInfo {
  readonly name: string;
  /** Names of modules that have to be loaded before it. */
  readonly needs: readonly string[];
}

/**
 * What a guest on q35 needs of the distribution's kernel, in the order it is wanted; what is built in, or not there, is
 * left out (the cloud kernel has no 9p). The last two are what ext4 asks for by alias, which nobody resolves here.
 */
export const GUEST_MODULES: readonly string[] = [
  'virtio_pci',
  'virtio_console',
  'virtio_blk',
  'virtio_net',
  'virtio_rng',
  'virtio_balloon',
  'crc32c_generic',
  'ext4',
  'overlay',
  'fuse',
  'virtiofs',
  '9p',
  '9pnet_virtio',
  'vmw_vsock_virtio_transport',
  'qemu_fw_cfg',
  'vmgenid',
];

/** A module's own name as the kernel writes it, from its file's name. */
export function moduleName(fileName: string): string {
  return fileName.replace(/\.ko(?:\.(?:xz|zst|gz))?$/, '').replaceAll('-', '_');
}

/** From the bytes of an uncompressed .ko: its .modinfo section holds NUL-separated `key=value` texts (kmod's modinfo). */
export function parseModinfo(name: string, bytes: Uint8Array): ModuleInfo {
  const text = Buffer.from(bytes).toString('latin1');
  const hard = /\0depends=([^\0]*)\0/.exec(text)?.[1] ?? '';
  const soft = /\0softdep=pre: ?([^\0]*?)(?: post:[^\0]*)?\0/.exec(text)?.[1] ?? '';
  const needs = [...hard.split(','), ...soft.split(/\s+/)].map(moduleName).filter((need) => need !== '');
  return { name, needs: [...new Set(needs)] };
}

/** Wanted modules and all they need, each after what it needs. `infoOf` gives undefined for what is no module here. */
export async function loadOrder(
  wanted: readonly string[],
  infoOf: (name: string) => Promise<ModuleInfo | undefined>,
): Promise<string[]> {
  const order = new Set<string>();
  const seen = new Set<string>();
  const visit = async (name: string): Promise<void> => {
    if (seen.has(name)) return;
    seen.add(name);
    const info = await infoOf(name);
    if (info === undefined) return;
    for (const need of info.needs) await visit(need);
    order.add(name);
  };
  for (const name of wanted) await visit(name);
  return [...order];
}
