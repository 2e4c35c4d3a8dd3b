import { SkerryError, type Node, type NodeVm, type Vm, type VmSpec, type VmStatus } from '@skerry/api';
import type { EventLog } from '../events/index.ts';
import { refOf, type Resources } from '../store/index.ts';
import { uninterrupted } from '../tasks/index.ts';
import {
  assertDiskSize,
  bringDiskBack,
  dropDiskAside,
  memoryLack,
  setDiskAside,
  type VmController,
  type VmImages,
  type VmService,
  type WorkOptions,
} from '../vms/index.ts';
import { HEALTHY_TIMEOUT_MS } from './converge.ts';
import type { NodeFacts } from './plan.ts';

/**
 * Another image for VMs that are there: name, addresses and id stay, the disk is a new one. The disk before is kept beside it
 * until the VM is healthy; `status.previous` says so from before the first step until after the last, so whoever finds it can
 * go on or back.
 */

export interface ReplacePorts {
  readonly vms: VmService;
  readonly resources: Resources<VmSpec, VmStatus>;
  readonly controller: VmController;
  readonly images: VmImages;
  readonly events: EventLog;
}

const STOP_TIMEOUT_MS = 10_000;
/** What tells that it will not become healthy. */
const FAILURES = ['vm.unhealthy', 'vm.crashed', 'vm.stopped'];

/** @throws SkerryError `invalid`: the image needs more than the VM has */
export async function assertFits(
  { images }: Pick<ReplacePorts, 'images'>,
  declared: NodeVm | undefined,
  { imageDigests }: NodeFacts,
): Promise<void> {
  const digest = declared === undefined ? undefined : imageDigests.get(declared.image);
  if (declared === undefined || digest === undefined) return;
  const boot = await images.bootFiles(declared, digest, {});
  assertDiskSize(boot.image, declared.diskMib);
  const lack = memoryLack(declared, boot);
  if (lack === undefined) return;
  throw new SkerryError('invalid', lack.message, {
    remedy: 'Give the VM more memory in its node file and type `skerry up FILE`, then update it.',
  });
}

/**
 * All of them at once, until all are healthy.
 * @throws SkerryError what the first failure was; all of them then have their old disks and run again
 */
export async function replaceBatch(
  ports: ReplacePorts,
  node: Node,
  names: readonly string[],
  imageOf: (name: string) => string | undefined,
  digests: ReadonlyMap<string, string>,
  work: WorkOptions,
): Promise<void> {
  const members = (await ports.vms.list()).filter((vm) => names.some((name) => vm.name === `${node.name}/${name}`));
  // One failure ends the others: all of them go back.
  const failed = new AbortController();
  const signal = work.signal === undefined ? failed.signal : AbortSignal.any([failed.signal, work.signal]);
  const results = await Promise.allSettled(
    members.map(async (vm) => {
      const image = imageOf(vm.name.slice(node.name.length + 1)) ?? vm.spec.image;
      try {
        await replaceOne(ports, vm, image, digests.get(image), { ...work, signal });
      } catch (error) {
        failed.abort(error);
        throw error;
      }
    }),
  );
  if (!results.some(({ status }) => status === 'rejected')) {
    for (const { id } of members) await keepNew(ports, id);
    return;
  }
  await uninterrupted(() => Promise.all(members.map(({ id }) => putBack(ports, id, work))));
  throw work.signal?.aborted === true ? work.signal.reason : failed.signal.reason;
}

/** Each step is done once: it goes on where a daemon that died had come to. */
async function replaceOne(
  ports: ReplacePorts,
  { id, name, ...vm }: Vm,
  image: string,
  digest: string | undefined,
  work: WorkOptions,
): Promise<void> {
  const { controller, resources, vms } = ports;
  if (digest === undefined) throw new SkerryError('not-found', `There is no image '${image}' any more`);
  if (vm.status.previous === undefined) {
    work.onProgress?.(`${name}: stopping`);
    await vms.stop(id, work, { timeoutMs: STOP_TIMEOUT_MS });
    await dropDiskAside(controller.dirs(id).dir);
    await resources.update(id, ({ spec, status }) => ({
      status: { ...status, previous: { image: spec.image, imageDigest: status.imageDigest ?? '' } },
    }));
  }
  if (vm.status.imageDigest !== digest) {
    await vms.stop(id, work, { timeoutMs: STOP_TIMEOUT_MS });
    await controller.exclusively(id, async () => {
      await setDiskAside(controller.dirs(id).dir);
      await resources.update(id, ({ spec, status }) => ({
        spec: { ...spec, image },
        status: { ...status, imageDigest: digest },
      }));
    });
  }
  work.onProgress?.(`${name}: starting from ${image}`);
  await startUntilHealthy(ports, id, work);
  work.onProgress?.(`${name}: healthy with ${image}`);
}

async function startUntilHealthy({ vms, events }: ReplacePorts, id: string, work: WorkOptions): Promise<void> {
  const over = new AbortController();
  const stop = work.signal === undefined ? over.signal : AbortSignal.any([over.signal, work.signal]);
  // From before the start: what happens at once counts as well.
  await events.flush();
  const last = (await events.list({ limit: 1 })).at(-1)?.id ?? 0;
  const failure = (async () => {
    const following = events.follow({ types: FAILURES, subject: { id }, fromId: last + 1, signal: stop });
    for await (const { message } of following) return message;
    return undefined;
  })().catch(() => undefined);
  try {
    const { name } = await vms.start(id, work);
    const wait = new AbortController();
    const signal = work.signal === undefined ? wait.signal : AbortSignal.any([wait.signal, work.signal]);
    void failure.then((message) => {
      if (message !== undefined) wait.abort(new SkerryError('failed', `${message}, instead of becoming healthy`));
    });
    try {
      await vms.wait(id, 'healthy', HEALTHY_TIMEOUT_MS, {
        signal,
        onProgress: (why) => work.onProgress?.(`${name}: waiting for its health check: ${why}`),
      });
    } catch (error) {
      throw wait.signal.aborted ? wait.signal.reason : error;
    }
  } finally {
    over.abort();
  }
}

async function keepNew({ controller, resources }: ReplacePorts, id: string): Promise<void> {
  await dropDiskAside(controller.dirs(id).dir);
  await forgetPrevious(resources, id);
}

/** The old disk, and what runs on it, are as they were. Does nothing to a VM that was not begun with. */
async function putBack(
  { vms, controller, resources, events }: ReplacePorts,
  id: string,
  work: WorkOptions,
): Promise<void> {
  const vm = await vms.get(id);
  const { previous } = vm.status;
  if (previous !== undefined) {
    work.onProgress?.(`${vm.name}: going back to ${previous.image}`);
    await vms.kill(id, {});
    await controller.exclusively(id, async () => {
      const { dir } = controller.dirs(id);
      // Without one it was not begun with, or had been found to be healthy when a daemon died.
      if (await bringDiskBack(dir)) {
        await resources.update(id, ({ spec, status }) => ({
          spec: { ...spec, image: previous.image },
          status: { ...status, imageDigest: previous.imageDigest },
        }));
        await dropDiskAside(dir);
      }
      await forgetPrevious(resources, id);
    });
    void events.emit({
      type: 'vm.put-back',
      subject: refOf(vm),
      message: `${vm.name} has its disk of ${previous.image} again`,
    });
  }
  await vms.start(id, {});
}

async function forgetPrevious(resources: Resources<VmSpec, VmStatus>, id: string): Promise<void> {
  await resources.update(id, ({ status: { previous: _, ...status } }) => ({ status }));
}
