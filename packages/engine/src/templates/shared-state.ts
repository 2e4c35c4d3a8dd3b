import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Driver, Isolation, VmLaunch } from '../hypervisors/index.ts';
import type { SavedState, VmSharedStates } from '../vms/index.ts';
import { removeTemplate } from './build.ts';

/**
 * A saved state that several machines go on from: loaded once, into memory that they share until they write to it, as clones
 * share a template's. It has no record, so the next daemon takes away what this one left.
 */

export interface SharedStatePorts {
  readonly driver: Driver;
  readonly runtimeDir: string;
  readonly dataDir: string;
  /** For a process of its own, until it is released. */
  readonly isolate: (launch: VmLaunch, name: string) => Promise<{ isolation: Isolation; release(): void }>;
}

export class SharedStates implements VmSharedStates {
  readonly #ports: SharedStatePorts;

  constructor(ports: SharedStatePorts) {
    this.#ports = ports;
  }

  async load(
    name: string,
    launch: VmLaunch,
    { statePath, layout, diskBytes }: SavedState,
    signal: AbortSignal | undefined,
  ): Promise<AsyncDisposable & { readonly keeperPath: string }> {
    const { driver, runtimeDir, dataDir, isolate } = this.#ports;
    await using undo = new AsyncDisposableStack();
    const dirs = { dir: join(runtimeDir, 't', name), diskDir: join(dataDir, 'templates', name) };
    const keeperPath = join(dirs.dir, 'keep');
    const isolated = await isolate(launch, `template-${name}`);
    undo.defer(() => isolated.release());
    await removeTemplate(dirs);
    await mkdir(dirs.dir, { recursive: true, mode: 0o700 });
    undo.defer(() => removeTemplate(dirs));
    const machine = await driver.start(
      {
        ...launch,
        dir: dirs.dir,
        runtimeDir: dirs.dir,
        // It only takes the state over and gives it away: what is behind its devices is no part of that.
        disks: [{ format: 'placeholder', sizeBytes: diskBytes }],
        // All but that there is a tap, which QEMU asks for.
        nics: launch.nics.map((nic) => (nic.tap === undefined ? nic : { ...nic, tap: { name: '', vhost: false } })),
        origin: { kind: 'template', keeperPath, statePath, layout },
        isolation: isolated.isolation,
      },
      { signal },
    );
    undo.defer(() => machine.detach());
    await machine.becomeTemplate(keeperPath, { signal });
    const kept = undo.move();
    return { keeperPath, [Symbol.asyncDispose]: () => kept.disposeAsync() };
  }
}
