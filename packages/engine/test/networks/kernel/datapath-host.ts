import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { findJailHost } from '../../../src/hypervisors/index.ts';
import { KernelDatapath, type KernelSupport } from '../../../src/networks/kernel/index.ts';
import type { PlannedNetwork, PlannedVm } from '../../../src/networks/index.ts';

/**
 * A host: runs in a network namespace of its own, and does what it is told, a line of JSON each: the networks and VMs that are to
 * be there. Answers each with how long that took. Takes all away when its stdin ends.
 */

export interface Order {
  readonly networks: readonly PlannedNetwork[];
  readonly vms: readonly PlannedVm[];
}

const [runtimeDir = '', instance = '', support = '{}'] = process.argv.slice(2);

const datapath = new KernelDatapath({
  runtimeDir,
  instance,
  jail: { ...(await findJailHost()), scope: 'none' },
  support: async () => JSON.parse(support) as KernelSupport,
  hostNetwork: async () => ({ resolvers: [], routes6: [] }),
});

const lines = createInterface({ input: process.stdin });
lines.on('line', (line) => {
  const { networks, vms } = JSON.parse(line) as Order;
  const startedAt = performance.now();
  datapath.sync(networks, vms).then(
    () => process.stdout.write(`${JSON.stringify({ ms: performance.now() - startedAt })}\n`),
    (error: unknown) => process.stdout.write(`${JSON.stringify({ error: String(error) })}\n`),
  );
});
await once(lines, 'close');
await datapath.retire();
await datapath.close();
process.exit(0);
