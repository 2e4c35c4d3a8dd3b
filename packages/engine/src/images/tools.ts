import { access, constants } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { SkerryError } from '@skerry/api';

/** What has to be on the host to build: command (or header) -> Debian package. */
const TOOLS = {
  kernel: {
    gcc: 'gcc',
    make: 'make',
    flex: 'flex',
    bison: 'bison',
    bc: 'bc',
    patch: 'patch',
    xz: 'xz-utils',
    strip: 'binutils',
    // objtool, which x86_64 kernels can't be built without, reads ELF with it.
    '/usr/include/gelf.h': 'libelf-dev',
    // objtool and kconfig include <stdio.h>.
    '/usr/include/stdio.h': 'libc6-dev',
    'dpkg-deb': 'dpkg',
    'apt-get': 'apt',
    setpriv: 'util-linux',
  },
  image: {
    'apt-get': 'apt',
    'dpkg-deb': 'dpkg',
    cpio: 'cpio',
    mke2fs: 'e2fsprogs',
    'qemu-img': 'qemu-utils',
    xz: 'xz-utils',
    flock: 'util-linux',
  },
} as const;

/** Debian packages to install before a kernel or an image can be built; empty when all is there. */
export async function missingBuildTools(what: keyof typeof TOOLS): Promise<string[]> {
  const needed = Object.entries<string>(TOOLS[what]);
  // Root owns what it unpacks; anybody else needs the pretence.
  if (what === 'image' && process.getuid?.() !== 0) needed.push(['fakeroot', 'fakeroot']);
  const found = await Promise.all(needed.map(([tool]) => isPresent(tool)));
  return [...new Set(needed.filter((_, index) => found[index] !== true).map(([, deb]) => deb))];
}

/** @throws SkerryError `unsupported` that names the packages */
export async function requireBuildTools(what: keyof typeof TOOLS): Promise<void> {
  const missing = await missingBuildTools(what);
  if (missing.length === 0) return;
  const thing = what === 'kernel' ? 'the micro kernel' : 'an image';
  throw new SkerryError('unsupported', `To build ${thing} this host lacks ${missing.join(', ')}`, {
    remedy: `apt-get install --no-install-recommends ${missing.join(' ')}`,
    details: { packages: missing },
  });
}

async function isPresent(tool: string): Promise<boolean> {
  if (tool.startsWith('/')) return isReadable(tool, constants.R_OK);
  const dirs = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/sbin', '/usr/bin', '/bin'];
  const hits = await Promise.all(dirs.map((dir) => isReadable(join(dir, tool), constants.X_OK)));
  return hits.includes(true);
}

function isReadable(path: string, mode: number): Promise<boolean> {
  return access(path, mode).then(
    () => true,
    () => false,
  );
}
