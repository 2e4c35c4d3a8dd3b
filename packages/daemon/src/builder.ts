import { randomBytes, randomUUID } from 'node:crypto';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { SkerryError } from '@skerry/api';
import { cgroupOf, connectAgent, shortId, type BootBuilder, type Driver } from '@skerry/engine';
import type { HostService } from './host.ts';

/** Boots the VM in which a recipe's commands run: no network, the disk written in place, nothing left of it. */

const BOOT_TIMEOUT_MS = 120_000;
const POWER_OFF_TIMEOUT_MS = 30_000;

export interface BuilderPorts {
  readonly driver: Driver;
  readonly host: HostService;
  readonly runtimeDir: string;
}

export function bootBuilder({ driver, host, runtimeDir }: BuilderPorts): BootBuilder {
  return async ({ disk, kernel, initrdPath, memoryMib, signal }) => {
    await using undo = new AsyncDisposableStack();
    const id = randomUUID();
    const dir = join(runtimeDir, 'b', shortId(id));
    await mkdir(dir, { recursive: true, mode: 0o700 });
    undo.defer(() => rm(dir, { recursive: true, force: true }));
    // In the daemon's own name: the uids of VMs belong to VMs.
    const { accelerator, tscKhz, instance } = await host.profile();
    const machine = await driver.start(
      {
        id,
        name: 'image-builder',
        dir,
        runtimeDir: dir,
        cpus: 1,
        memoryMib,
        kernel: { which: kernel.kind, path: kernel.path, initrdPath, patched: kernel.patched, machine: kernel.machine },
        disks: [{ ...disk, readonly: false }],
        nics: [],
        reclaimsMemory: true,
        accelerator,
        ...(tscKhz === undefined ? {} : { tscKhz }),
        isolation: { cgroup: cgroupOf(instance, `build-${shortId(id)}`), rlimits: { nofile: 1024, core: 0 } },
      },
      signal === undefined ? {} : { signal },
    );
    undo.defer(async () => void (await machine.kill()));
    const agent = await connectAgent(machine.sockets.agent, {
      timeoutMs: BOOT_TIMEOUT_MS,
      ...(signal === undefined ? {} : { signal }),
    });
    undo.defer(() => agent.close());
    await agent.identify({ hostname: 'builder', seed: randomBytes(64), unixTimeNs: BigInt(Date.now()) * 1_000_000n });
    const made = undo.move();
    return {
      async run(line, options) {
        const child = agent.exec(
          { argv: ['sh', '-c', line], env: options.env, stdin: false },
          options.signal === undefined ? {} : { signal: options.signal },
        );
        for (const stream of [child.stdout, child.stderr])
          createInterface({ input: stream }).on('line', options.onLine);
        return child.exited;
      },
      async powerOff() {
        await agent.powerOff('poweroff');
        const late = new Promise<'late'>((resolve) => setTimeout(resolve, POWER_OFF_TIMEOUT_MS, 'late').unref());
        if ((await Promise.race([machine.exited, late])) !== 'late') return;
        // QEMU may still write to the disk: it is no image yet.
        throw new SkerryError('timeout', 'The VM that runs the recipe does not power off', {
          remedy: 'See that its commands leave no process that ignores SIGTERM, then build again.',
        });
      },
      [Symbol.asyncDispose]: () => made.disposeAsync(),
    };
  };
}
