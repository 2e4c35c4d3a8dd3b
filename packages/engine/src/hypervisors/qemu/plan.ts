import { join } from 'node:path';

/**
 * What a start needs: QEMU's arguments, and the descriptors that vmjail opens for them. QEMU opens nothing by path, so
 * the VM's user needs no rights on any directory. In the arguments `{name}` stands for a descriptor's number.
 */
export interface QemuPlan {
  readonly argv: readonly [string, ...string[]];
  readonly listen: readonly Listening[];
  readonly open: readonly Opened[];
}

export interface Listening {
  readonly name: string;
  readonly path: string;
}

export interface Opened {
  readonly name: string;
  readonly path: string;
  /** Read; read and write; append (made if absent). */
  readonly mode: 'r' | 'rw' | 'a';
}

/** Collects the descriptors while the arguments are built. */
export class Descriptors {
  readonly listen: Listening[] = [];
  readonly open: Opened[] = [];
  readonly fdsetArgs: string[] = [];
  #fdsets = 0;

  /** A listening socket. @returns what stands for its number */
  socket(name: string, path: string): string {
    this.listen.push({ name, path });
    return `{${name}}`;
  }

  /** A file that QEMU opens as it does any path; here, a set with one descriptor. @returns the path to give to QEMU */
  file(name: string, path: string, mode: Opened['mode']): string {
    this.open.push({ name, path, mode });
    this.#fdsets += 1;
    this.fdsetArgs.push('-add-fd', `fd={${name}},set=${this.#fdsets}`);
    return `/dev/fdset/${this.#fdsets}`;
  }

  /** For the few files that QEMU opens without looking for descriptor sets. @returns the path to give to QEMU */
  plainFile(name: string, path: string): string {
    this.open.push({ name, path, mode: 'r' });
    return `/proc/self/fd/{${name}}`;
  }
}

/** The files and sockets of a VM, by the names that the rest of the product knows. */
export function vmPaths(dirs: { readonly dir: string; readonly runtimeDir: string }) {
  return {
    qmp: join(dirs.runtimeDir, 'qmp'),
    agent: join(dirs.runtimeDir, 'agent'),
    console: join(dirs.runtimeDir, 'con'),
    nic: (socketName: string) => join(dirs.runtimeDir, socketName),
    consoleLog: join(dirs.dir, 'console.log'),
    serviceLog: join(dirs.dir, 'service.log'),
    stderrLog: join(dirs.dir, 'qemu.log'),
  };
}
