import { armLease, endLease, type LeaseParts } from './lease.ts';
import type { Monitor } from './monitor.ts';

/**
 * Cables of NICs. Who sets one says all that there is to say of it, what is asked and what faults do; the lease puts back in
 * what only a fault keeps out.
 */

const WAIT = { timeoutMs: 10_000 };

/** @param outUntilMs until when faults keep it out, in milliseconds since 1970; Infinity: until it is set again */
export async function setCable(
  { monitor, lease }: { readonly monitor: Monitor; readonly lease: LeaseParts },
  index: number,
  isUp: boolean,
  outUntilMs: number,
): Promise<void> {
  const name = `eth${index}`;
  const leftMs = outUntilMs - Date.now();
  // First who puts it back: there is no instant at which nobody would.
  if (isUp && leftMs > 0) {
    const goesIn = { execute: 'set_link', arguments: { name, up: true } };
    await armLease(lease, name, leftMs === Infinity ? undefined : leftMs, [goesIn]);
  } else {
    await endLease(lease, name);
  }
  await monitor.execute('set_link', { name, up: isUp && leftMs <= 0 }, WAIT);
}
