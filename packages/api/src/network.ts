import { z } from 'zod';

export const NetworkSpec = z.strictObject({
  /** nat: reaches out through the host, not into it; isolated: only its own VMs. */
  mode: z.enum(['nat', 'isolated']).default('nat'),
  subnet: z.cidrv4().optional(),
  domain: z.string().max(253).optional(),
});
export type NetworkSpec = z.infer<typeof NetworkSpec>;

export const NetworkStatus = z.object({
  subnet: z.string(),
  gateway: z.string(),
  datapath: z.enum(['user', 'kernel']),
});
export type NetworkStatus = z.infer<typeof NetworkStatus>;
