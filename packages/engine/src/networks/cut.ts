import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { KeptSegments } from '@skerry/switch';
import type { SwitchService } from './switch-service.ts';

/** What is on its way between VMs while they are copied: in the original it goes on, and once more in the copy. */

/** Until what the switch has sent has been taken in by guests that still run. */
const SETTLE_MS = 5;
/** The copies' ports are connected within some milliseconds. */
const CONNECT_TIMEOUT_MS = 2000;
const END_TIMEOUT_MS = 100;

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

  /** What was on its way, after `release`; it can still be injected. */
  async kept(): Promise<KeptSegments> {
    if (this.#segments.length === 0) return {};
    return await this.#switches.cut('kept', { keptAs: this.#name });
  }

  /** @param copies network id -> id of its copy, whose VMs are plugged in and stand still */
  async inject(copies: Readonly<Record<string, string>>): Promise<void> {
    if (this.#segments.length === 0) return;
    await untilConnected(this.#switches, Object.values(copies));
    await this.#switches.cut('inject', { keptAs: this.#name, segments: copies });
  }
}

/** Brings what a cut kept into the networks of these ids, whose VMs are plugged in and stand still. */
export async function putOnItsWay(switches: SwitchService, kept: KeptSegments): Promise<void> {
  const ids = Object.keys(kept);
  if (ids.length === 0) return;
  await untilConnected(switches, ids);
  const keptAs = randomUUID();
  await switches.cut('keep', { keptAs, segments: kept });
  await switches.cut('inject', { keptAs, segments: Object.fromEntries(ids.map((id) => [id, id])) });
}

/** In networks of these ids, whose VMs have ended: what they are next would hear what they were. */
export async function dropOnItsWay(switches: SwitchService, ids: readonly string[]): Promise<void> {
  // What a process has sent last is read before its end is seen. Others may be on these networks, and stay.
  await untilAll(switches, ids, false, END_TIMEOUT_MS);
  await switches.drop(ids);
}

/** What a guest sends to one that is not connected yet is lost. */
async function untilConnected(switches: SwitchService, segments: readonly string[]): Promise<void> {
  await untilAll(switches, segments, true, CONNECT_TIMEOUT_MS);
}

async function untilAll(
  switches: SwitchService,
  segments: readonly string[],
  areConnected: boolean,
  timeoutMs: number,
): Promise<void> {
  const deadlineMs = performance.now() + timeoutMs;
  for (;;) {
    const state = await switches.state();
    const ports = (state?.segments ?? []).filter(({ id }) => segments.includes(id)).flatMap((segment) => segment.ports);
    if (ports.every(({ connected }) => connected === areConnected) || performance.now() > deadlineMs) return;
    await sleep(3);
  }
}
