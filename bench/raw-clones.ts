import { spawn, type ChildProcess } from 'node:child_process';
import { randomBytes, randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { copyFile, mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { QmpClient } from '@skerry/qmp';
import { run } from '../packages/engine/src/hosts/index.ts';
import type { DiskImage, LaunchOrigin, VmLaunch } from '../packages/engine/src/hypervisors/index.ts';
import type { AgentClient } from '../packages/engine/src/vms/agent/index.ts';
import { connected, ended, rawArgv } from './raw-qemu.ts';

/**
 * The raw tool for clones: QEMU itself, no daemon and no confinement, with the same arguments, the same template (root disk
 * mounted) and the same words to the agent. What a script would do that knows all the tricks.
 */

const IGNORE_SHARED = { capabilities: [{ capability: 'x-ignore-shared' as const, state: true }] };

const DISK_BYTES = 2 ** 30;

export class RawTemplate implements AsyncDisposable {
  readonly #launch: VmLaunch;
  readonly #dir: string;
  readonly #layer: DiskImage;
  readonly #running: Array<{ readonly child: ChildProcess; readonly agent: AgentClient }> = [];

  private constructor(launch: VmLaunch, dir: string, layer: DiskImage) {
    this.#launch = launch;
    this.#dir = dir;
    this.#layer = layer;
  }

  /** @param dir on a file system in memory */
  static async make(launch: VmLaunch, dir: string): Promise<RawTemplate> {
    const [disk] = launch.disks;
    if (disk === undefined || disk.format === 'placeholder' || disk.backing === undefined)
      throw new Error('the launch has no overlay');
    const layer = await overlayOn(disk.backing, join(dir, 'template'));
    const template = new RawTemplate(launch, dir, layer);
    const place = join(dir, 'template');
    const child = template.#spawn(place, layer, { kind: 'template', keeperPath: '' });
    const agent = await connected(join(place, 'agent'));
    await agent.mountRoot('vda', ['/bin/sh']);
    agent.close();
    await sleep(50);
    const qmp = await QmpClient.connect(join(place, 'qmp'));
    await qmp.execute('migrate-set-capabilities', IGNORE_SHARED);
    await qmp.execute('migrate', { uri: `exec:cat >${template.#state}` });
    while ((await qmp.execute('query-migrate')).status !== 'completed') await sleep(2);
    qmp.close();
    await ended(child);
    return template;
  }

  get #memory(): string {
    return join(this.#dir, 'memory');
  }

  get #state(): string {
    return join(this.#dir, 'state');
  }

  /** Resolves once it has an identity; it runs on until the template is disposed of. */
  async clone(index: number): Promise<void> {
    const place = join(this.#dir, `clone${index}`);
    const child = this.#spawn(place, await overlayOn(this.#layer, place), { kind: 'clone', keeperPath: '' });
    const qmp = await connectedTo(join(place, 'qmp'));
    await qmp.execute('migrate-set-capabilities', IGNORE_SHARED);
    await qmp.execute('migrate-incoming', { uri: `exec:cat ${this.#state}` });
    const agent = await connected(join(place, 'agent'));
    const hostname = `raw-${index}`;
    await agent.identify({
      seed: randomBytes(64),
      generation: randomUUID(),
      freshKeys: true,
      unixTimeNs: BigInt(Date.now()) * 1_000_000n,
      hostname,
      machineId: randomUUID().replaceAll('-', ''),
      dns: ['10.0.0.1'],
      hosts: [{ address: '10.0.0.2', names: [hostname] }],
      nics: this.#launch.nics.map(({ mac }) => ({
        mac: `52:54:00:${randomBytes(3)
          .toString('hex')
          .replaceAll(/(..)(?=.)/g, '$1:')}`,
        currentMac: mac,
        addresses: ['10.0.0.2/24'],
        gateway: '10.0.0.1',
      })),
    });
    qmp.close();
    this.#running.push({ child, agent });
  }

  /** Ends all clones. */
  async clear(): Promise<void> {
    for (const { child, agent } of this.#running.splice(0)) {
      agent.close();
      await ended(child);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.clear();
    await rm(this.#dir, { recursive: true, force: true });
  }

  #spawn(place: string, disk: DiskImage, origin: LaunchOrigin): ChildProcess {
    const launch = {
      ...this.#launch,
      dir: place,
      runtimeDir: place,
      disks: [{ ...disk, readonly: false }],
      reclaimsMemory: false,
      origin,
    };
    const [binary = '', ...args] = rawArgv(launch, place, this.#memory);
    // It would keep QEMU from starting the `cat` that its state goes through.
    const sandbox = args.indexOf('-sandbox');
    return spawn(binary, args.toSpliced(sandbox, 2), { stdio: 'ignore' });
  }
}

/** A copy of an empty one, for a process costs 20 ms; what lies under it is told on the command line. */
async function overlayOn(backing: DiskImage, place: string): Promise<DiskImage> {
  await mkdir(place, { recursive: true });
  const blank = join(place, '../blank.qcow2');
  if (!existsSync(blank)) await run(['qemu-img', 'create', '-q', '-f', 'qcow2', blank, String(DISK_BYTES)]);
  const path = join(place, 'disk.qcow2');
  await copyFile(blank, path);
  return { path, format: 'qcow2', backing };
}

async function connectedTo(path: string): Promise<QmpClient> {
  for (;;) {
    const client = await QmpClient.connect(path).catch(() => undefined);
    if (client !== undefined) return client;
    await sleep(1);
  }
}
