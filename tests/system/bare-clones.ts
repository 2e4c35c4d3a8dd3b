import { randomBytes, randomUUID } from 'node:crypto';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { SkerryError } from '@skerry/api';
import {
  connectAgent,
  createQemuDriver,
  findJailHost,
  hostPaths,
  ImageService,
  probeHost,
  shapeLaunch,
} from '@skerry/engine';
import type { TestHost } from '@skerry/testkit';
import { buildTemplate, removeTemplate } from '../../packages/engine/src/templates/build.ts';
import { cloneLaunch, templateLaunch } from '../../packages/engine/src/templates/plan.ts';
import { diskLayers, diskSizeBytes, ensureDisk, launchDisk } from '../../packages/engine/src/vms/disks.ts';

/** Clones without the daemon, so that they can be told less than it would tell them. */
export interface BareClones extends AsyncDisposable {
  /** Starts a clone, identifies it, and lets its first command draw 1 KiB: in hexadecimal digits. */
  draw(identity: { readonly seeded?: boolean }): Promise<string>;
}

const MEMORY_MIB = 64;
const ROOT = fileURLToPath(new URL('../../', import.meta.url));

/** @param host whose images are used */
export async function drawnByBareClones({ dir, dirs }: TestHost): Promise<BareClones> {
  await using undo = new AsyncDisposableStack();
  const jail = await findJailHost();
  const driver = createQemuDriver({ jail });
  const { cacheDir } = hostPaths(process.env, process.getuid?.() ?? 0);
  const images = new ImageService({
    paths: {
      cacheDir,
      imagesDir: join(dirs.dataDir, 'images'),
      guestDir: join(ROOT, 'guest'),
      agentBinary: join(ROOT, 'native/build/agent'),
    },
    vms: async () => [],
    saveOn: async () => undefined,
    bootBuilder: () => Promise.reject(new SkerryError('internal', 'nothing is built here')),
    onBackground: () => undefined,
  });
  undo.defer(() => images.close());
  const { cpu } = await probeHost({ cacheDir });
  const boot = await images.bootFiles({ image: 'micro', kernel: 'auto' }, undefined, {});
  const profile = {
    accelerator: 'tcg',
    tscKhz: cpu.tscKhz,
    instance: '',
    kvmGid: undefined,
    allocateUid: undefined,
    maxDevices: driver.capabilities().maxDevices,
  } as const;
  const shape = shapeLaunch({ cpus: 1, memoryMib: MEMORY_MIB, nics: 0 }, boot, profile);
  const diskBytes = [diskSizeBytes(boot.image, undefined)];
  const templateDir = join(dir, 'bare');
  const keeperPath = join(templateDir, 'keep');
  const templateDirs = { dir: templateDir, diskDir: join(dir, 'bare-disk') };
  undo.defer(() => removeTemplate(templateDirs));
  const launch = templateLaunch(shape, diskBytes, { dir: templateDir, keeperPath, isolation: {} });
  await buildTemplate(
    {
      driver,
      async ready(machine, _mountsRoot, signal) {
        (await connectAgent(machine.sockets.agent, { signal })).close();
      },
    },
    { dirs: templateDirs, launch, keeperPath, rootBytes: undefined },
    undefined,
  );
  const resources = undo.move();
  return {
    async draw({ seeded = false }) {
      const id = randomUUID();
      // As deep as a VM's: blank disks are kept beside their directories.
      const cloneDir = join(dir, 'bare-clones/vms', id);
      await mkdir(cloneDir, { recursive: true });
      await ensureDisk(cloneDir, boot.image, undefined);
      const disks = [launchDisk(cloneDir, boot.image, await diskLayers(cloneDir))];
      const dirs = { id, dir: cloneDir, runtimeDir: cloneDir };
      const machine = await driver.start(cloneLaunch({ ...shape, ...dirs, disks }, keeperPath));
      try {
        await using agent = await connectAgent(machine.sockets.agent);
        await agent.identify({ root: 'vda', ...(seeded ? { seed: randomBytes(64) } : {}) });
        return await hexOf(agent.exec({ argv: ['head', '-c', '1024', '/dev/urandom'] }).stdout);
      } finally {
        await machine.kill();
        machine.detach();
        await rm(cloneDir, { recursive: true, force: true });
      }
    },
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  };
}

async function hexOf(stream: AsyncIterable<Uint8Array>): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks).toString('hex');
}
