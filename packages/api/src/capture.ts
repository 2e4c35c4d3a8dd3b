import { z } from 'zod';

/** Captures: what passes at a NIC, as pcap. */

/** The least and the most that a capture keeps. */
const MIN_RING_BYTES = 256 * 1024;
const MAX_RING_BYTES = 2 ** 40;
export const DEFAULT_RING_BYTES = 50 * 1024 * 1024;

export const CaptureStart = z.strictObject({
  /** What is kept at most: older frames make room for new ones. */
  ringBytes: z
    .int()
    .min(MIN_RING_BYTES, 'a capture keeps at least 256Ki')
    .max(MAX_RING_BYTES, 'a capture keeps at most 1Ti')
    .default(DEFAULT_RING_BYTES),
});
export type CaptureStart = z.infer<typeof CaptureStart>;

export const CaptureInfo = z.object({
  vm: z.string(),
  /** Such as eth1. */
  nic: z.string(),
  /** `ended`: nothing is added any more; what was kept can be read until the next one is started, or the VM is deleted. */
  state: z.enum(['running', 'ended']),
  keptBytes: z.int(),
  ringBytes: z.int().optional(),
  startedAt: z.iso.datetime().optional(),
  /** Frames that were written, whether they are still kept or not, and their bytes on the wire. */
  frames: z.int().optional(),
  bytes: z.int().optional(),
  /** Frames that found no room, for the disk was too slow. */
  drops: z.int().optional(),
  /** Why nothing is written any more. */
  message: z.string().optional(),
});
export type CaptureInfo = z.infer<typeof CaptureInfo>;
