import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { SkerryError } from '../../packages/api/src/index.ts';
import { start } from '../../packages/engine/src/hosts/index.ts';
import type { BootBuilder, Kernel } from '../../packages/engine/src/images/index.ts';
import { connectAgent, type AgentClient } from '../../packages/engine/src/vms/agent/index.ts';

/** A guest on a bare QEMU of emulation: what an image is, without the engine's driver around it. */
export interface BootedGuest extends AsyncDisposable {
  readonly agent: AgentClient;
  /** Output of a command that has to succeed. */
  sh(line: string): Promise<string>;
  powerOff(): Promise<void>;
}

interface GuestOptions {
  kernel: Kernel;
  initrdPath: string;
  memoryMib: number;
  disk?: { path: string; format: 'qcow2' | 'raw' };
}

const BOOT_TIMEOUT_MS = 90_000;

export async function bootGuest({ kernel, initrdPath, memoryMib, disk }: GuestOptions): Promise<BootedGuest> {
  await using undo = new AsyncDisposableStack();
  const dir = await mkdtemp(join(tmpdir(), 'skerry-guest-'));
  undo.defer(() => rm(dir, { recursive: true, force: true }));
  const socket = join(dir, 'agent');
  const bus = kernel.machine === 'q35' ? 'pci' : 'device';
  const qemu = await start(
    [
      'qemu-system-x86_64',
      ...['-M', kernel.machine === 'q35' ? 'q35,accel=tcg' : 'microvm,accel=tcg,acpi=off', '-cpu', 'max,-erms,-fsrm'],
      ...['-m', String(memoryMib), '-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot'],
      ...['-kernel', kernel.path, '-initrd', initrdPath, '-serial', 'null'],
      ...['-append', `reboot=t panic=-1 quiet console=ttyS0${disk === undefined ? '' : ' skerry.root=vda:ext4'}`],
      ...['-chardev', `socket,id=agent,path=${socket},server=on,wait=off`, '-device', `virtio-serial-${bus}`],
      ...['-device', 'virtserialport,chardev=agent,name=skerry.agent', '-device', `virtio-rng-${bus}`],
      ...(disk === undefined
        ? []
        : [
            '-drive',
            `if=none,id=root,file=${disk.path},format=${disk.format}`,
            '-device',
            `virtio-blk-${bus},drive=root`,
          ]),
    ],
    { stdio: ['ignore', 'ignore', 'inherit'] },
  );
  qemu.ref(); // It is waited for.
  const ended = once(qemu, 'exit');
  undo.defer(async () => {
    if (qemu.exitCode === null && qemu.signalCode === null) qemu.kill('SIGKILL');
    await ended;
  });
  const agent = await connectOnceListening(socket);
  undo.defer(() => agent.close());
  const made = undo.move();
  return {
    agent,
    async sh(line) {
      const child = agent.exec({ argv: ['sh', '-c', line], stdin: false });
      const [out, error, { exitCode }] = await Promise.all([text(child.stdout), text(child.stderr), child.exited]);
      if (exitCode !== 0) throw new Error(`${line}: exit code ${exitCode}: ${error}`);
      return out;
    },
    async powerOff() {
      await agent.powerOff('poweroff');
      await ended;
    },
    [Symbol.asyncDispose]: () => made.disposeAsync(),
  };
}

/** QEMU makes the socket itself here, a moment after it starts; the engine's supervisor hands it one that listens already. */
async function connectOnceListening(socket: string): Promise<AgentClient> {
  const deadline = Date.now() + 10_000;
  for (;;) {
    try {
      return await connectAgent(socket, { timeoutMs: BOOT_TIMEOUT_MS });
    } catch (error) {
      if (Date.now() > deadline || !(error instanceof SkerryError) || error.code !== 'unavailable') throw error;
      await sleep(50);
    }
  }
}

/** The port through which recipes run their commands. */
export const bootForRecipe: BootBuilder = async ({ disk, kernel, initrdPath, memoryMib }) => {
  const guest = await bootGuest({ disk, kernel, initrdPath, memoryMib });
  return {
    async run(line, options) {
      const child = guest.agent.exec({ argv: ['sh', '-c', line], env: options.env, stdin: false });
      for (const stream of [child.stdout, child.stderr]) createInterface({ input: stream }).on('line', options.onLine);
      return child.exited;
    },
    powerOff: () => guest.powerOff(),
    [Symbol.asyncDispose]: () => guest[Symbol.asyncDispose](),
  };
};
