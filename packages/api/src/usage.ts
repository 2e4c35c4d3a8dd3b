import { z } from 'zod';

/** What VMs use of their host, as counters: who asks twice has the rates. */

const Bytes = z.int().min(0);

export const VmUsage = z.object({
  id: z.string(),
  name: z.string(),
  title: z.string().optional(),
  state: z.string(),
  /** CPU time of its process since it started, all threads. */
  cpuMs: z.number(),
  /** Memory of its process: its fair share of what it shares; what only it has; what others have too. proc(5), smaps_rollup. */
  pssBytes: Bytes,
  privateBytes: Bytes,
  sharedBytes: Bytes,
  diskReadBytes: Bytes,
  diskWrittenBytes: Bytes,
  receivedBytes: Bytes,
  sentBytes: Bytes,
});
export type VmUsage = z.infer<typeof VmUsage>;

export const HostUsage = z.object({
  /** Of the host's monotonic clock, for rates. */
  atMs: z.number(),
  cpus: z.int(),
  /** Of all processors together. */
  cpuBusyMs: z.number(),
  memoryTotalBytes: Bytes,
  memoryAvailableBytes: Bytes,
  /** Memory objects of templates: once, for all clones. */
  templateBytes: Bytes,
  pools: z.array(z.object({ image: z.string(), size: z.int(), ready: z.int() })),
  vms: z.array(VmUsage),
});
export type HostUsage = z.infer<typeof HostUsage>;
