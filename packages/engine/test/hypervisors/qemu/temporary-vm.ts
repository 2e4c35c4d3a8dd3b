import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createQemuDriver, findJailHost, type Driver, type VmLaunch } from '../../../src/hypervisors/index.ts';
import { killJailed } from '../../../src/hypervisors/jail/index.ts';
import { run } from '../../../src/hosts/index.ts';
import { writeGuest, type TinyGuest } from './guest.ts';

/** The real driver. VMs of tests end with the test, so they need no scope of systemd's. */
export async function qemuDriver(binary?: string): Promise<Driver> {
  return createQemuDriver({
    jail: { ...(await findJailHost()), scope: 'none' },
    ...(binary === undefined ? {} : { binary }),
  });
}

export interface TemporaryVm extends AsyncDisposable {
  readonly launch: VmLaunch;
  readonly root: string;
  /** Path of its overlay. */
  readonly disk: string;
  /** Whether a socket of it, or the record of its process, is still there. */
  leftovers(): string[];
}

/** Directories, kernel, an overlay on a base and a NIC for one VM; ended and removed with `await using`. */
export async function temporaryVm(guest: TinyGuest, changes: Partial<VmLaunch> = {}): Promise<TemporaryVm> {
  const root = await mkdtemp(join(tmpdir(), 'skerry-vm-'));
  const dir = join(root, 'vm');
  const runtimeDir = join(root, 'run');
  await mkdir(dir, { mode: 0o700 });
  await mkdir(runtimeDir, { mode: 0o700 });
  const kernelPath = join(root, 'kernel');
  const initrdPath = join(root, 'initrd');
  await writeGuest(kernelPath, guest);
  await writeFile(initrdPath, '070701', { mode: 0o644 });
  const base = join(root, 'base.qcow2');
  const disk = join(dir, 'disk.qcow2');
  await run(['qemu-img', 'create', '-q', '-f', 'qcow2', base, '16M']);
  await run(['qemu-img', 'create', '-q', '-f', 'qcow2', '-b', base, '-F', 'qcow2', disk]);
  const launch: VmLaunch = {
    id: randomUUID(),
    name: 'test',
    dir,
    runtimeDir,
    cpus: 1,
    memoryMib: 64,
    // A panic can be printed without a driver on the serial port that q35 alone has.
    kernel: {
      which: 'micro',
      path: kernelPath,
      initrdPath,
      patched: false,
      machine: guest.print === undefined ? 'microvm' : 'q35',
    },
    disks: [{ path: disk, format: 'qcow2', readonly: false, backing: { path: base, format: 'qcow2' } }],
    nics: [{ mac: '52:54:00:12:34:56', socketName: 'nic0' }],
    reclaimsMemory: true,
    accelerator: 'tcg',
    isolation: {},
    ...changes,
  };
  return {
    launch,
    disk,
    root,
    leftovers: () =>
      [join(dir, 'pid'), ...['qmp', 'cut', 'agent', 'con', 'nic0'].map((name) => join(runtimeDir, name))].filter(
        (path) => existsSync(path),
      ),
    [Symbol.asyncDispose]: async () => {
      await killJailed(dir, { force: true });
      await rm(root, { recursive: true });
    },
  };
}

/** User and group ids, and the open files, of a process. */
export async function processStatus(pid: number): Promise<string> {
  return await readFile(`/proc/${pid}/status`, 'utf8');
}
