import type { Lease } from './port.ts';

/** When leases run out. They count from the store's opening on after a restart, as etcd's do after an election. */
export class LeaseClock {
  readonly #leases = new Map<string, { readonly lease: Lease; readonly timer: NodeJS.Timeout }>();
  readonly #onExpired: (lease: Lease) => void;

  constructor(onExpired: (lease: Lease) => void) {
    this.#onExpired = onExpired;
  }

  start(lease: Lease): void {
    const timer = setTimeout(() => {
      this.#leases.delete(lease.id);
      this.#onExpired(lease);
    }, lease.ttlMs);
    // A lease alone is no reason for the process to live on.
    timer.unref();
    this.#leases.set(lease.id, { lease, timer });
  }

  /** Its time starts again; undefined if it has run out. */
  refresh(leaseId: string): Lease | undefined {
    const known = this.#leases.get(leaseId);
    known?.timer.refresh();
    return known?.lease;
  }

  stop(leaseId: string): void {
    clearTimeout(this.#leases.get(leaseId)?.timer);
    this.#leases.delete(leaseId);
  }

  stopAll(): void {
    for (const leaseId of [...this.#leases.keys()]) this.stop(leaseId);
  }
}
