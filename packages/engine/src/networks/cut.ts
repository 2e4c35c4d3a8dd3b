import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { SwitchService } from './switch-service.ts';

/** What is on its way between VMs while they are copied: in the original it goes on, and once more in the copy. */

/** Until what the switch has sent has been taken in by guests that still run. */
const SETTLE_MS = 5;
/** The copies' ports are connected within some milliseconds. */
const CONNECT_TIMEOUT_MS = 2000;

export class NetworkCut {
  readonly #switches: SwitchService;
  readonly #segments: readonly string[];
  readonly #name = randomUUID();
  #released = false;

  /** @param segments ids of the networks that have VMs which run */
  constructor(switches: SwitchService, segments: readonly string[]) {
    this.#switches = switches;
    this.#segments = segments;
  }

  async hold(): Promise<void> {
    if (this.#segments.length === 0) return;
    await this.#switches.cut('hold', { segments: this.#segments });
    await sleep(SETTLE_MS);
  }

  async gather(): Promise<void> {
    if (this.#segments.length > 0) await this.#switches.cut('gather', { segments: this.#segments });
  }

  async release(): Promise<void> {
    if (this.#released || this.#segments.length === 0) return;
    this.#released = true;
    await this.#switches.cut('release', { segments: this.#segments, keepAs: this.#name });
  }

  /** @param copies network id -> id of its copy, whose VMs are plugged in and stand still */
  async inject(copies: Readonly<Record<string, string>>): Promise<void> {
    if (this.#segments.length === 0) return;
    const wanted = new Set(Object.values(copies));
    const deadlineMs = performance.now() + CONNECT_TIMEOUT_MS;
    for (;;) {
      const state = await this.#switches.state();
      const ports = (state?.segments ?? []).filter(({ id }) => wanted.has(id)).flatMap((segment) => segment.ports);
      if (ports.every(({ connected }) => connected) || performance.now() > deadlineMs) break;
      await sleep(3);
    }
    await this.#switches.cut('inject', { keptAs: this.#name, segments: copies });
  }
}
