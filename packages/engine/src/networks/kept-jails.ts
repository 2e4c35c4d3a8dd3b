import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { inspectJail, killJailed, launchJail, watchExit, type JailHost, type JailSpec } from '../hypervisors/index.ts';

/** Processes that outlive us, by name, each in a directory of its own: adopted, and started again when they die. */

const MIN_RESTART_MS = 100;
const MAX_RESTART_MS = 10_000;

/** What is kept running; another command line is another name. */
export type KeptSpec = Omit<JailSpec, 'dir'>;

export interface KeptJailsOptions {
  /** Holds a directory per name, and nothing else. */
  readonly root: string;
  /** For people: `the way out of NAME`. */
  readonly title: (name: string) => string;
  readonly jail: JailHost;
  readonly log?: ((line: string) => void) | undefined;
}

export class KeptJails {
  readonly #options: KeptJailsOptions;
  /** By name: what is kept running. */
  readonly #kept = new Map<string, { readonly abort: AbortController; readonly keeper: Promise<void> }>();
  #last: Promise<unknown> = Promise.resolve();

  constructor(options: KeptJailsOptions) {
    this.#options = options;
  }

  dir(name: string): string {
    return join(this.#options.root, name);
  }

  /** Ends all others, then starts or adopts one for each of these. @throws SkerryError of `launchJail` */
  sync(wanted: ReadonlyMap<string, KeptSpec>): Promise<void> {
    const result = this.#last.then(() => this.#sync(wanted));
    this.#last = result.catch(() => {});
    return result;
  }

  /** It comes back by itself. */
  async restart(name: string): Promise<void> {
    await killJailed(this.dir(name), { force: true });
  }

  /** Tells it that its files have changed. */
  async hangUp(name: string): Promise<void> {
    const found = await inspectJail(this.dir(name));
    if (found.state === 'running') process.kill(found.process.pid, 'SIGHUP');
  }

  /** Stops watching; the processes go on for the next daemon. */
  async close(): Promise<void> {
    await this.#last;
    const all = [...this.#kept.values()];
    this.#kept.clear();
    for (const { abort } of all) abort.abort();
    await Promise.all(all.map(({ keeper }) => keeper));
  }

  async #sync(wanted: ReadonlyMap<string, KeptSpec>): Promise<void> {
    const { root } = this.#options;
    if (wanted.size > 0) await mkdir(root, { recursive: true, mode: 0o700 });
    const present = await readdir(root).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return [];
      throw error;
    });
    await Promise.all(present.filter((name) => !wanted.has(name)).map((name) => this.#end(name)));
    await Promise.all([...wanted].map(([name, spec]) => this.#start(name, spec)));
  }

  async #start(name: string, spec: KeptSpec): Promise<void> {
    if (this.#kept.has(name)) return;
    await this.#launch(name, spec);
    const abort = new AbortController();
    const keeper = this.#keep(name, spec, abort.signal).catch((error: unknown) => {
      if (!abort.signal.aborted) this.#log(name, String(error));
    });
    this.#kept.set(name, { abort, keeper });
  }

  async #keep(name: string, spec: KeptSpec, signal: AbortSignal): Promise<void> {
    let waitMs = MIN_RESTART_MS;
    for (;;) {
      const startedAt = performance.now();
      await watchExit(this.dir(name), signal);
      this.#log(name, 'it has ended, and is started again');
      waitMs = performance.now() - startedAt > MAX_RESTART_MS ? MIN_RESTART_MS : Math.min(waitMs * 2, MAX_RESTART_MS);
      for (;;) {
        await sleep(waitMs, undefined, { signal });
        try {
          await this.#launch(name, spec);
          break;
        } catch (error) {
          this.#log(name, String(error));
          waitMs = Math.min(waitMs * 2, MAX_RESTART_MS);
        }
      }
    }
  }

  async #launch(name: string, spec: KeptSpec): Promise<void> {
    const dir = this.dir(name);
    await mkdir(dir, { recursive: true, mode: 0o700 });
    if ((await inspectJail(dir)).state === 'running') return;
    await launchJail({ dir, ...spec }, this.#options.jail);
  }

  async #end(name: string): Promise<void> {
    const kept = this.#kept.get(name);
    this.#kept.delete(name);
    kept?.abort.abort();
    // It may be about to start it again: what came of that is ended, too.
    await kept?.keeper;
    await killJailed(this.dir(name), { force: true });
    await rm(this.dir(name), { recursive: true, force: true });
  }

  #log(name: string, text: string): void {
    this.#options.log?.(`${this.#options.title(name)}: ${text}`);
  }
}
