import { constants } from 'node:fs';
import { access, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { HostTool } from '@skerry/api';
import { run } from './run.ts';

/** What Skerry calls, with the Debian package that brings it and how it tells its version. */
export const TOOLS: ReadonlyArray<{
  name: string;
  package: string;
  versionArgs?: readonly string[];
  /** Where it lies if not on the path. */
  dirs?: readonly string[];
}> = [
  { name: 'qemu-system-x86_64', package: 'qemu-system-x86' },
  { name: 'qemu-img', package: 'qemu-utils' },
  { name: 'mke2fs', package: 'e2fsprogs', versionArgs: ['-V'] },
  { name: 'debugfs', package: 'e2fsprogs', versionArgs: ['-V'] },
  { name: 'cpio', package: 'cpio' },
  { name: 'fakeroot', package: 'fakeroot' },
  { name: 'apt-get', package: 'apt' },
  { name: 'dpkg-deb', package: 'dpkg' },
  { name: 'gcc', package: 'gcc' },
  { name: 'musl-gcc', package: 'musl-tools' },
  { name: 'make', package: 'make' },
  { name: 'flex', package: 'flex' },
  { name: 'bison', package: 'bison' },
  { name: 'bc', package: 'bc' },
  { name: 'xz', package: 'xz-utils' },
  { name: 'zstd', package: 'zstd' },
  { name: 'unshare', package: 'util-linux' },
  { name: 'ip', package: 'iproute2', versionArgs: ['-V'] },
  { name: 'tc', package: 'iproute2', versionArgs: ['-V'] },
  { name: 'bridge', package: 'iproute2', versionArgs: ['-V'] },
  { name: 'nft', package: 'nftables' },
  { name: 'dnsmasq', package: 'dnsmasq-base' },
  { name: 'passt', package: 'passt' },
  { name: 'swtpm', package: 'swtpm' },
  // Debian 13, Fedora and openSUSE; Arch; Debian 12 and Ubuntu 22.04 as a part of qemu-system-common.
  {
    name: 'virtiofsd',
    package: 'virtiofsd',
    dirs: ['/usr/libexec', '/usr/lib', '/usr/lib/virtiofsd', '/usr/lib/qemu'],
  },
];

/** The paths of the tools that are there, by name. sbin is looked into too: it is not on a user's PATH on Debian. */
export async function findTools(): Promise<Map<string, string>> {
  const dirs = [...new Set([...(process.env['PATH'] ?? '/usr/bin:/bin').split(':'), '/usr/sbin', '/sbin'])];
  const found = new Map<string, string>();
  await Promise.all(
    TOOLS.map(async ({ name, dirs: more = [] }) => {
      for (const dir of [...dirs, ...more]) {
        if (await isProgram(join(dir, name))) return void found.set(name, join(dir, name));
      }
    }),
  );
  return found;
}

async function isProgram(path: string): Promise<boolean> {
  const status = await stat(path).catch(() => undefined);
  if (status?.isFile() !== true) return false;
  return await access(path, constants.X_OK).then(
    () => true,
    () => false,
  );
}

export async function probeTools(paths: ReadonlyMap<string, string>): Promise<HostTool[]> {
  return await Promise.all(
    TOOLS.map(async (tool) => {
      const path = paths.get(tool.name);
      if (path === undefined) return { name: tool.name, package: tool.package };
      const { stdout, stderr } = await run([path, ...(tool.versionArgs ?? ['--version'])], {
        okExitCodes: 'any',
        timeoutMs: 5000,
      }).catch(() => ({ stdout: '', stderr: '' }));
      const version = versionOf(stdout) ?? versionOf(stderr);
      return { name: tool.name, package: tool.package, path, ...(version === undefined ? {} : { version }) };
    }),
  );
}

/** 'GNU Make 4.3' -> '4.3'; 'QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7)' -> '7.2.22'. */
export function versionOf(text: string): string | undefined {
  return /\d+(?:\.\d+)+[a-z]?/.exec(text)?.[0];
}
