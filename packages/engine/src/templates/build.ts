import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Template } from '@skerry/api';
import { killJailed, type Driver, type KeptBytes, type Machine, type VmLaunch } from '../hypervisors/index.ts';

/** Makes one template: boots a machine until its agent waits, and keeps its memory. */

const END_TIMEOUT_MS = 10_000;

export interface BuildPorts {
  readonly driver: Driver;
  /** Resolves once the guest's agent has answered and waits for nothing but its host. */
  readonly ready: (machine: Machine, signal: AbortSignal | undefined) => Promise<void>;
}

export interface Built extends KeptBytes {
  readonly qemuVersion: string;
  readonly buildMs: number;
}

/** When it throws nothing is left of it. @throws SkerryError what the start, the agent or the saving threw */
export async function buildTemplate(
  { driver, ready }: BuildPorts,
  launch: VmLaunch & { readonly origin: { readonly kind: 'template'; readonly keeperPath: string } },
  signal: AbortSignal | undefined,
): Promise<Built> {
  const startedAtMs = performance.now();
  await using undo = new AsyncDisposableStack();
  await removeTemplate(launch.dir);
  await mkdir(launch.dir, { recursive: true, mode: 0o700 });
  undo.defer(() => removeTemplate(launch.dir));
  const machine = await driver.start(launch, { signal });
  undo.defer(() => machine.detach());
  const { version } = await machine.info();
  await ready(machine, signal);
  const kept = await machine.becomeTemplate(launch.origin.keeperPath, { signal });
  machine.detach();
  undo.move();
  return { ...kept, qemuVersion: version, buildMs: Math.round(performance.now() - startedAtMs) };
}

/** Ends what keeps its memory. Clones have mapped it, and go on. */
export async function removeTemplate(dir: string): Promise<void> {
  await killJailed(dir, { signal: AbortSignal.timeout(END_TIMEOUT_MS) });
  await rm(dir, { recursive: true, force: true });
}

/** The last thing that is written: a directory without it is a build that was cut off. */
export async function writeRecord(dir: string, template: Template): Promise<void> {
  const path = join(dir, 'template.json');
  await writeFile(`${path}.new`, `${JSON.stringify({ version: 1, template })}\n`, { mode: 0o600 });
  await rename(`${path}.new`, path);
}
