import { mkdir, readFile, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { SkerryError } from '@skerry/api';
import { inspectJail, killJailed, launchJail, watchExit, type JailHost } from '../../hypervisors/index.ts';
import {
  captureName,
  type CapturePort,
  type CapturedNic,
  type CaptureSinkPath,
  type RunningCapture,
} from '../capture-port.ts';
import { hash, netnsName, tapName } from './names-model.ts';
import { within } from './place-commands.ts';
import { isApart } from './places-plan.ts';

/** Captures of taps: a process each (`vmjail --capture`), which outlives us, and ends with the tap. */

const LOG_BYTES = 16 * 1024;
const BEGIN_TIMEOUT_MS = 5000;

export interface KernelCapturesOptions {
  readonly runtimeDir: string;
  readonly tag: string;
  readonly jail: JailHost;
}

/** What is known of one without its process. */
interface Kept {
  readonly name: string;
  readonly path: string;
  readonly ringBytes: number;
}

export class KernelCaptures implements CapturePort {
  readonly #options: KernelCapturesOptions;
  readonly #root: string;

  constructor(options: KernelCapturesOptions) {
    this.#options = options;
    this.#root = join(options.runtimeDir, 'captures');
  }

  async running(): Promise<ReadonlyMap<string, RunningCapture>> {
    const names = await readdir(this.#root).catch(() => []);
    const all = await Promise.all(names.map((name) => this.#look(join(this.#root, name))));
    return new Map(all.flatMap((each) => (each === undefined ? [] : [each])));
  }

  async start(nic: CapturedNic, sink: CaptureSinkPath): Promise<void> {
    const { tag, jail } = this.#options;
    const { id, spec } = nic.network;
    const isFile = 'path' in sink;
    const dir = isFile ? this.#dir(nic) : join(this.#root, hash(sink.name));
    await killJailed(dir, { force: true });
    await rm(dir, { recursive: true, force: true });
    await mkdir(dir, { recursive: true, mode: 0o700 });
    if (isFile) {
      const kept: Kept = { name: captureName(nic), path: sink.path, ringBytes: sink.ringBytes };
      await writeFile(join(dir, 'capture.json'), JSON.stringify(kept), { mode: 0o600 });
    }
    const target = isFile
      ? ['ring', sink.path, String(sink.ringBytes), join(dir, 'stats')]
      : ['reader', sink.socketPath];
    const [command = jail.vmjailPath, ...args] = [
      ...within(isApart(spec.mode) ? netnsName(tag, id) : undefined),
      jail.vmjailPath,
      '--capture',
      tapName(tag, nic.vmId, nic.index),
      ...target,
    ];
    await launchJail({ dir, command: [command, ...args], log: { path: join(dir, 'log'), capBytes: LOG_BYTES } }, jail);
    if (isFile) await this.#begun(dir, sink.path);
    // Its directory is of no use afterwards, unless it tells why it has failed.
    void watchExit(dir)
      .then((end) =>
        end.cause === 'exit' && end.exit.code === 0 ? rm(dir, { recursive: true, force: true }) : undefined,
      )
      .catch(() => undefined);
  }

  async stop(nic: Pick<CapturedNic, 'vmId' | 'index'>): Promise<void> {
    const dir = this.#dir(nic);
    await killJailed(dir);
    await rm(dir, { recursive: true, force: true });
  }

  #dir({ vmId, index }: Pick<CapturedNic, 'vmId' | 'index'>): string {
    return join(this.#root, tapName(this.#options.tag, vmId, index));
  }

  /** Its file has a header once it hears the tap. */
  async #begun(dir: string, path: string): Promise<void> {
    const deadlineMs = performance.now() + BEGIN_TIMEOUT_MS;
    while ((await sizeOf(path)) === 0) {
      const found = await inspectJail(dir);
      const isOver = found.state !== 'running';
      if (!isOver && performance.now() < deadlineMs) {
        await sleep(5);
        continue;
      }
      const why = isOver ? complaintOf(found) : 'it takes too long';
      await this.#giveUp(dir);
      throw new SkerryError('failed', `The capture did not begin: ${why}`, {
        remedy: 'Look at the space that is left on the disk, and whether the VM still runs.',
      });
    }
  }

  async #giveUp(dir: string): Promise<void> {
    await killJailed(dir, { force: true });
    await rm(dir, { recursive: true, force: true });
  }

  async #look(dir: string): Promise<[string, RunningCapture] | undefined> {
    const text = await readFile(join(dir, 'capture.json'), 'utf8').catch(() => undefined);
    const found = await inspectJail(dir);
    const error = found.state === 'running' ? undefined : complaintOf(found);
    if (text === undefined || error === '') {
      if (found.state !== 'running') await rm(dir, { recursive: true, force: true });
      return undefined;
    }
    const { name, path, ringBytes } = JSON.parse(text) as Kept;
    const stats = (await readFile(join(dir, 'stats'), 'utf8').catch(() => '')).trim().split(/ +/).map(Number);
    const [frames = 0, bytes = 0, drops = 0] = stats;
    const keptBytes = (await sizeOf(path)) + (await sizeOf(`${path}.1`));
    const startedAtMs = found.state === 'running' ? found.process.startedAtMs : 0;
    return [name, { ringBytes, startedAtMs, keptBytes, frames, bytes, drops, error }];
  }
}

/** Empty when there is nothing to complain about: its tap has gone, or the host was restarted. */
function complaintOf(found: Awaited<ReturnType<typeof inspectJail>>): string {
  if (found.state !== 'ended' || found.end.cause !== 'exit' || found.end.exit.code === 0) return '';
  return found.end.exit.stderrTail.trim();
}

async function sizeOf(path: string): Promise<number> {
  return stat(path).then(
    ({ size }) => size,
    () => 0,
  );
}
