import { mkdir, realpath, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Template } from '@skerry/api';
import { killJailed, type Driver, type KeptBytes, type Machine, type VmLaunch } from '../hypervisors/index.ts';
import { makeLayer } from '../vms/index.ts';
import { emptyDir } from './plan.ts';

/** Makes one template: boots a machine until its agent waits, and keeps its memory. */

const END_TIMEOUT_MS = 10_000;

export interface BuildPorts {
  readonly driver: Driver;
  /**
   * Resolves once the guest's agent has answered and waits for nothing but its host.
   * @param mountsRoot it has its root disk mounted then
   */
  readonly ready: (machine: Machine, mountsRoot: boolean, signal: AbortSignal | undefined) => Promise<void>;
}

export interface TemplateDirs {
  /** Of its process; does not outlive a reboot. */
  readonly dir: string;
  /** Of the layer that its guest has written, if it has its root disk mounted. */
  readonly diskDir: string;
}

/** What VMs that are cloned from it have under their disks. */
export function layerPath({ diskDir }: TemplateDirs): string {
  return join(diskDir, 'disk.qcow2');
}

export interface Built extends KeptBytes {
  readonly qemuVersion: string;
  readonly buildMs: number;
}

export interface BuildInput {
  readonly dirs: TemplateDirs;
  readonly launch: VmLaunch;
  readonly keeperPath: string;
  /** Virtual size of the root disk, which `launch` has on a layer of the template's own; undefined: it has none. */
  readonly rootBytes: number | undefined;
}

/** When it throws nothing is left of it. @throws SkerryError what the start, the agent or the saving threw */
export async function buildTemplate(
  { driver, ready }: BuildPorts,
  { dirs, launch, keeperPath, rootBytes }: BuildInput,
  signal: AbortSignal | undefined,
): Promise<Built> {
  const startedAtMs = performance.now();
  await using undo = new AsyncDisposableStack();
  await removeTemplate(dirs);
  await mkdir(dirs.dir, { recursive: true, mode: 0o700 });
  undo.defer(() => removeTemplate(dirs));
  if (rootBytes !== undefined) {
    await mkdir(dirs.diskDir, { recursive: true, mode: 0o700 });
    await makeLayer(layerPath(dirs), rootBytes, signal);
  }
  const machine = await driver.start(await withEmptyShares(launch, dirs), { signal });
  undo.defer(() => machine.detach());
  const { version } = await machine.info();
  await ready(machine, rootBytes !== undefined, signal);
  const kept = await machine.becomeTemplate(keeperPath, { signal });
  machine.detach();
  undo.move();
  return { ...kept, qemuVersion: version, buildMs: Math.round(performance.now() - startedAtMs) };
}

/** Its guest mounts none of them: there is nothing to see. */
async function withEmptyShares(launch: VmLaunch, { dir }: TemplateDirs): Promise<VmLaunch> {
  if (launch.shares === undefined) return launch;
  await mkdir(emptyDir(dir), { mode: 0o700 });
  // vmjail follows no link on the way to a directory that it hands out.
  const path = await realpath(emptyDir(dir));
  return { ...launch, shares: launch.shares.map((share) => ({ ...share, path })) };
}

/** Ends what keeps its memory. Clones have mapped it, and go on. */
export async function removeTemplate({ dir, diskDir }: TemplateDirs): Promise<void> {
  await killJailed(dir, { signal: AbortSignal.timeout(END_TIMEOUT_MS) });
  for (const each of [dir, diskDir]) await rm(each, { recursive: true, force: true });
}

export interface TemplateRecord {
  readonly template: Template;
  /** What was asked for; absent in records of earlier versions. */
  readonly wantedAs: string | undefined;
}

/** The last thing that is written: a directory without it is a build that was cut off. */
export async function writeRecord(dir: string, record: TemplateRecord): Promise<void> {
  const path = join(dir, 'template.json');
  await writeFile(`${path}.new`, `${JSON.stringify({ version: 1, ...record })}\n`, { mode: 0o600 });
  await rename(`${path}.new`, path);
}
