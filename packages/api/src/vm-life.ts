import { z } from 'zod';
import { RESTART_POLICIES } from './restart.ts';

/** What becomes of a VM when it fails, when it is stopped, and when its host has restarted. */

export const RESTART_BACKOFF_MS = 1000;

/**
 * What follows when a VM ends and nobody has asked for it. `on-failure`: started again when it crashed or its command
 * failed; `always`: also when its guest powered itself off or its command ended well. A stop that somebody asked for is
 * never undone. Without one, `never`.
 */
export const RestartPolicy = z
  .strictObject({
    policy: z.enum(RESTART_POLICIES),
    /** Tries in a row that may be in vain; then it is left stopped. */
    maxTries: z.int().min(1).max(9999).optional(),
    /** Before the first try; twice as long before each further one, up to a minute. */
    backoffMs: z.int().min(100).max(3_600_000).default(RESTART_BACKOFF_MS),
  })
  .refine(({ policy, maxTries }) => policy !== 'never' || maxTries === undefined, {
    message: 'a VM that is never restarted has no number of tries: write on-failure or always',
    path: ['maxTries'],
  });
export type RestartPolicy = z.infer<typeof RestartPolicy>;

/** After a restart of the host: `last` (the default): it runs again if it ran; `on`: in any case; `off`: it does not. */
export const Autostart = z.enum(['on', 'off', 'last']);
export type Autostart = z.infer<typeof Autostart>;

export const DEFAULT_STOP_GRACE_PERIOD_MS = 10_000;
/** How long a guest may take to end by itself when it is stopped, before it is powered off; 0: at once. */
export const StopGracePeriodMs = z.int().min(0).max(600_000);

/** Where its restart policy is with it; absent, as long as there was nothing to do. */
export const VmRecovery = z.object({
  /** `waiting` until `dueAt`; then `starting`; `up` since it has started. */
  phase: z.enum(['waiting', 'starting', 'up']),
  /** The try that is to come or under way, since it last was up for a while: 1, 2, ... */
  tries: z.int().min(0),
  /** When it failed, as far as that still counts. */
  failedAt: z.array(z.iso.datetime()),
  dueAt: z.iso.datetime().optional(),
});
export type VmRecovery = z.infer<typeof VmRecovery>;
