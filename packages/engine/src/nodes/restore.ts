import { link } from 'node:fs/promises';
import { join } from 'node:path';
import { SkerryError, type Node, type Vm, type VmSpec, type VmStatus } from '@skerry/api';
import type { Resources } from '../store/index.ts';
import {
  diskSizeBytes,
  linkLayers,
  newVmStatus,
  recordMemory,
  removeMemory,
  removeUnused,
  startChain,
  statePath,
  type VmController,
  type VmImages,
  type VmService,
  type WorkOptions,
} from '../vms/index.ts';
import { startTogether } from './barrier.ts';
import { makeDirectory, type SavedVm, type SaveManifest } from './manifest.ts';
import { headerOf } from './plan.ts';
import type { NodeService } from './service.ts';

/** Puts memory and disks of a save in the place of what a node's VMs have now. */

export interface RestorePorts {
  readonly nodeService: NodeService;
  readonly vms: Resources<VmSpec, VmStatus>;
  readonly service: VmService;
  readonly controller: VmController;
  readonly images: VmImages;
}

/** Where the restore has come to. */
export interface RestoreSteps {
  /** Nothing of what they were is to reach what they become. */
  whenAllAreGone(): Promise<void>;
  /** Before the first of them goes on. */
  whenAllArePluggedIn(): Promise<void>;
}

/** What they are now is lost; the save, in `dir`, is only read, and can be restored again if this is cut off. */
export async function restoreVms(
  ports: RestorePorts,
  { node, manifest, dir }: { readonly node: Node; readonly manifest: SaveManifest; readonly dir: string },
  steps: RestoreSteps,
  work: WorkOptions,
): Promise<void> {
  const { service, nodeService } = ports;
  const members = await nodeService.members(node.name);
  const wanted = new Map(manifest.vms.map((saved) => [saved.name, saved]));
  // All images and secrets first: without one nothing shall have been stopped.
  const sizes = new Map<string, number>();
  for (const { name, spec, imageDigest } of manifest.vms) {
    await service.assertSecrets(spec);
    const { image } = await ports.images.bootFiles(spec, imageDigest, work);
    sizes.set(name, diskSizeBytes(image, spec.diskMib));
  }
  work.onProgress?.('ending what runs');
  for (const [inner, vm] of members) {
    if (!wanted.has(inner)) await service.delete(vm.id, { force: true }, work).catch(unlessGone);
    else if (vm.status.state === 'suspended') await ports.controller.discardMemory(vm.id);
  }
  await Promise.all(
    [...members].map(async ([inner, vm]) => {
      if (wanted.has(inner)) await service.kill(vm.id, work);
    }),
  );
  await steps.whenAllAreGone();
  work.onProgress?.('putting memory and disks back');
  const restored: Array<{ vm: Vm; saved: SavedVm }> = [];
  for (const saved of manifest.vms) {
    const vm = members.get(saved.name) ?? (await declare(ports, node, saved));
    await putBack(ports, vm, saved, join(dir, saved.name), sizes.get(saved.name) ?? 0, work.signal);
    restored.push({ vm, saved });
  }
  const going = restored.filter(({ saved }) => saved.memory !== undefined);
  await startTogether(
    going.map(
      ({ vm }) =>
        (beforeThaw) =>
          service.start(vm.id, { ...work, beforeThaw }),
    ),
    () => steps.whenAllArePluggedIn(),
  );
  for (const { vm, saved } of going) if (saved.state === 'paused') await service.pause(vm.id, work);
}

/** Whoever recovers VMs may have been sooner. */
function unlessGone(error: unknown): void {
  if (SkerryError.from(error).code !== 'not-found') throw error;
}

async function declare({ vms }: RestorePorts, node: Node, saved: SavedVm): Promise<Vm> {
  const declared = node.spec.vms[saved.name];
  return (await vms.create({
    name: `${node.name}/${saved.name}`,
    ...(declared === undefined ? {} : headerOf(declared)),
    spec: { ...saved.spec, power: 'stopped' },
    status: { ...newVmStatus(saved.nics, saved.imageDigest), state: 'stopped' },
  })) as Vm;
}

async function putBack(
  { controller, vms }: RestorePorts,
  { id }: Vm,
  saved: SavedVm,
  from: string,
  sizeBytes: number,
  signal: AbortSignal | undefined,
): Promise<void> {
  const { dir } = controller.dirs(id);
  await controller.exclusively(id, async () => {
    await makeDirectory(dir);
    await removeMemory(dir);
    const layers = await linkLayers(from, saved.layers, dir);
    await startChain(dir, layers, sizeBytes, signal);
    await removeUnused(dir);
    if (saved.memory !== undefined) {
      await link(statePath(from), statePath(dir));
      await recordMemory(dir, saved.memory, true);
    }
    await vms.update(id, ({ status, spec }) => {
      const hasMemory = saved.memory !== undefined;
      const { start: _start, exit: _exit, message: _message, previous: _previous, ...rest } = status;
      return {
        spec: { ...saved.spec, power: hasMemory ? 'suspended' : 'stopped', restarts: spec.restarts },
        status: {
          ...rest,
          nics: saved.nics,
          imageDigest: saved.imageDigest,
          restarts: spec.restarts,
          ...(saved.start === undefined ? {} : { start: saved.start }),
          ...(hasMemory
            ? { state: 'suspended' as const, suspendedAt: manifestTime(saved) }
            : { state: 'stopped' as const }),
        },
      };
    });
  });
}

function manifestTime({ memory }: SavedVm): string {
  return memory?.savedAt ?? new Date().toISOString();
}
