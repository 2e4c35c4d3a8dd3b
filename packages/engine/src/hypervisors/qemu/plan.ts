import { join } from 'node:path';
import type { KeptObject } from '../jail/index.ts';

/**
 * What a start needs: QEMU's arguments, and the descriptors that vmjail opens for them. QEMU opens nothing by path, so
 * the VM's user needs no rights on any directory. In the arguments `{name}` stands for a descriptor's number.
 */
export interface QemuPlan {
  readonly argv: readonly [string, ...string[]];
  readonly listen: readonly Listening[];
  readonly open: readonly Opened[];
  readonly share: readonly SharedDirectory[];
  /** Directories that servers of their own give. */
  readonly served: readonly SharedDirectory[];
  /** Name -> interface. */
  readonly taps: Readonly<Record<string, string>>;
  /** Memory objects: made and kept here, or another supervisor's. */
  readonly objects: Readonly<Record<string, number>>;
  readonly keepPath: string | undefined;
  readonly take: Readonly<Record<string, KeptObject>>;
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

export interface SharedDirectory {
  readonly name: string;
  readonly path: string;
  readonly readonly: boolean;
}

/** Collects the descriptors while the arguments are built. */
export class Descriptors {
  readonly listen: Listening[] = [];
  readonly open: Opened[] = [];
  readonly share: SharedDirectory[] = [];
  readonly servedDirectories: SharedDirectory[] = [];
  readonly taps: Record<string, string> = {};
  readonly objects: Record<string, number> = {};
  readonly take: Record<string, KeptObject> = {};
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

  /** A memory object that is made for it. @returns what stands for its number */
  object(name: string, sizeBytes: number): string {
    this.objects[name] = sizeBytes;
    return `{${name}}`;
  }

  /** A memory object that another supervisor keeps. */
  taken(name: string, keepPath: string): string {
    this.take[name] = { keepPath, object: name };
    return `{${name}}`;
  }

  /** A tap that is made for it. */
  tapDevice(name: string, interfaceName: string): string {
    this.taps[name] = interfaceName;
    return `{${name}}`;
  }

  /** A device of the host, to read and write, by its number. */
  device(name: string, path: string): string {
    this.open.push({ name, path, mode: 'rw' });
    return `{${name}}`;
  }

  /** A file to read, by its number. */
  number(name: string, path: string): string {
    this.open.push({ name, path, mode: 'r' });
    return `{${name}}`;
  }

  /** A directory. @returns the path to give to QEMU */
  directory(name: string, path: string, readonly: boolean): string {
    this.share.push({ name, path, readonly });
    return `/proc/self/fd/{${name}}`;
  }

  /** A directory that a server gives. @returns what stands for the number of a socket that is connected to it */
  served(name: string, path: string, readonly: boolean): string {
    this.servedDirectories.push({ name, path, readonly });
    return `{${name}}`;
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
    /** A monitor for commands that need a descriptor: see handover.c. */
    cut: join(dirs.runtimeDir, 'cut'),
    agent: join(dirs.runtimeDir, 'agent'),
    console: join(dirs.runtimeDir, 'con'),
    nic: (socketName: string) => join(dirs.runtimeDir, socketName),
    consoleLog: join(dirs.dir, 'console.log'),
    serviceLog: join(dirs.dir, 'service.log'),
    stderrLog: join(dirs.dir, 'qemu.log'),
  };
}
