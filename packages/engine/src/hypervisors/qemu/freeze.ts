import { SkerryError } from '@skerry/api';
import { armLease, endLease, hasLease, type LeaseParts } from './lease.ts';
import type { Monitor } from './monitor.ts';

/**
 * CPUs that stand still by a fault, beside the pause that a user asks for: they run only when neither wants them still. The
 * lease lets them go on by itself, unless the user has paused them meanwhile; so it is there only while he has not.
 */

const LEASE = 'freeze';
const GO_ON = [{ execute: 'cont' }];
const WAIT = { timeoutMs: 10_000 };

export class Freezer {
  readonly #monitor: Monitor;
  readonly #lease: () => LeaseParts;
  /** Until when, in milliseconds since 1970; Infinity: until `thaw`. */
  #untilMs: number | undefined;
  #isPaused = false;

  constructor(monitor: Monitor, lease: () => LeaseParts) {
    this.#monitor = monitor;
    this.#lease = lease;
  }

  /** Until they are seen to run again: the lease may be late. */
  get isFrozen(): boolean {
    return this.#untilMs !== undefined && (!this.#isPaused || Date.now() < this.#untilMs);
  }

  /** Whether the user wants them still as well; of those that are frozen. */
  get isPaused(): boolean {
    return this.#isPaused;
  }

  /** After a restart of the daemon: what an earlier one has frozen. */
  async recover(): Promise<void> {
    if (await hasLease(this.#lease(), LEASE)) this.#untilMs = Infinity;
  }

  /** @param isPaused whether the user has paused them */
  async freeze(untilMs: number, isPaused: boolean): Promise<void> {
    this.#untilMs = untilMs;
    this.#isPaused = isPaused;
    if (isPaused) return;
    // First who lets them go on: there is no instant at which nobody would.
    await this.#arm(untilMs);
    await this.#stop();
    if (!(await this.#monitor.execute('query-status', {}, WAIT)).running) return;
    throw new SkerryError('failed', 'The CPUs did not stop', { remedy: 'Look at the VM: `skerry info`.' });
  }

  async thaw(): Promise<void> {
    await endLease(this.#lease(), LEASE);
    const mayRun = this.#untilMs !== undefined && !this.#isPaused;
    this.#untilMs = undefined;
    if (mayRun) await this.#monitor.execute('cont', {}, WAIT);
  }

  async pause(): Promise<void> {
    await endLease(this.#lease(), LEASE);
    this.#isPaused = true;
    // It may have let them go on in its last moment.
    await this.#stop();
  }

  async resume(): Promise<void> {
    if (this.#isPaused && this.#untilMs !== undefined) await this.#arm(this.#untilMs);
    this.#isPaused = false;
  }

  /** They run: the lease was over. */
  ended(): void {
    if (!this.#isPaused) this.#untilMs = undefined;
  }

  async #arm(untilMs: number): Promise<void> {
    await armLease(this.#lease(), LEASE, untilMs === Infinity ? undefined : untilMs - Date.now(), GO_ON);
  }

  async #stop(): Promise<void> {
    await this.#monitor.execute('stop', {}, WAIT);
  }
}
