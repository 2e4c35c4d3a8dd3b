import {
  DEFAULT_STOP_GRACE_PERIOD_MS,
  formatDuration,
  type VmExit,
  type VmRecovery,
  type VmSpec,
  type VmStatus,
} from '@skerry/api';

/** Pure: what a VM's restart policy makes of its end. */

/** The back-off doubles up to this. (Docker: from 100 ms to 1 min; Kubernetes: from 10 s to 5 min.) */
const MAX_BACKOFF_MS = 60_000;
/** Up for so long, it begins with the shortest back-off again, as in Docker; Kubernetes takes 10 min. */
const STEADY_MS = 10_000;
/** So many ends in so long a time: it flaps, whatever its policy. (systemd, StartLimitBurst: 5 starts in 10 s.) */
const FLAP_FAILURES = 10;
const FLAP_WINDOW_MS = 600_000;

/** `again`: its wish stays, and `recovery` says when; `given-up`: it is left as it is, because of `why`. */
export type AfterFailure =
  | { readonly next: 'again'; readonly recovery: VmRecovery; readonly delayMs: number }
  | { readonly next: 'given-up'; readonly why: string }
  | { readonly next: 'rest' };

type Wish = Pick<VmSpec, 'restart' | 'power'>;

export function stopGraceMs(spec: Pick<VmSpec, 'stopGracePeriodMs'>): number {
  return spec.stopGracePeriodMs ?? DEFAULT_STOP_GRACE_PERIOD_MS;
}

/** Of the whole time, what the guest's processes get before they are killed; the rest is for its disks. */
export function guestGraceMs(timeoutMs: number): number {
  return Math.max(timeoutMs / 2, timeoutMs - 5000);
}

/** Whether the agent starts the command again by itself; else its end is the VM's. */
export function agentKeepsCommand({ restart }: Pick<VmSpec, 'restart'>): boolean {
  return restart === undefined || restart.policy === 'never';
}

/** What the end of its command means for the VM; undefined: nothing. */
export function endOfCommand(
  { restart }: Pick<VmSpec, 'restart'>,
  { exitCode, signal }: { readonly exitCode?: number | null | undefined; readonly signal?: string | null | undefined },
): NonNullable<VmStatus['ending']> | undefined {
  const how = typeof signal === 'string' ? `by ${signal}` : `with exit code ${exitCode ?? 0}`;
  const hasFailed = typeof signal === 'string' || (exitCode ?? 0) !== 0;
  if (hasFailed && (restart?.policy === 'on-failure' || restart?.policy === 'always'))
    return { kind: 'crashed', reason: `its command failed: it ended ${how}` };
  return restart?.policy === 'always' ? { kind: 'stopped', reason: `its command ended ${how}` } : undefined;
}

/** @param upMs how long it had been up */
export function afterEnd(spec: Wish, recovery: VmRecovery | undefined, exit: VmExit, upMs: number): AfterFailure {
  const { policy } = spec.restart ?? { policy: 'never' };
  const isMeant = policy === 'always' || (policy === 'on-failure' && exit.kind === 'crashed');
  if (!isMeant || (spec.power !== 'running' && spec.power !== 'paused')) return { next: 'rest' };
  return afterFailure(spec, upMs < STEADY_MS ? recovery : without(recovery), Date.parse(exit.at));
}

/** Of a VM that has ended, or that the policy could not start. */
export function afterFailure({ restart }: Wish, recovery: VmRecovery | undefined, nowMs: number): AfterFailure {
  if (restart === undefined) return { next: 'rest' };
  const tries = recovery?.tries ?? 0;
  if (restart.maxTries !== undefined && tries >= restart.maxTries)
    return { next: 'given-up', why: `${tries === 1 ? 'one try was' : `${tries} tries were`} in vain` };
  const counted = (recovery?.failedAt ?? []).filter((at) => nowMs - Date.parse(at) < FLAP_WINDOW_MS);
  const failedAt = [...counted, new Date(nowMs).toISOString()];
  if (failedAt.length >= FLAP_FAILURES) {
    const tookMs = nowMs - Date.parse(failedAt[0] ?? '');
    return { next: 'given-up', why: `it has ended ${failedAt.length} times within ${formatDuration(tookMs)}` };
  }
  const mostMs = Math.max(restart.backoffMs, MAX_BACKOFF_MS);
  const delayMs = Math.min(mostMs, restart.backoffMs * 2 ** Math.min(tries, 30));
  const dueAt = new Date(nowMs + delayMs).toISOString();
  return { next: 'again', recovery: { phase: 'waiting', tries: tries + 1, failedAt, dueAt }, delayMs };
}

/** How long its process had run as this VM. */
export function upMs({ start }: Pick<VmStatus, 'start'>, exit: Pick<VmExit, 'at'>): number {
  return start === undefined ? 0 : Date.parse(exit.at) - Date.parse(start.at) - start.totalMs;
}

/** ', by its restart policy (try 3)' */
export function startedBy({ recovery }: Pick<VmStatus, 'recovery'>): string {
  return recovery?.phase === 'starting' && recovery.tries > 0 ? `, by its restart policy (try ${recovery.tries})` : '';
}

/** Its policy has time until then, and nothing is to be done with it. */
export function isWaiting({ recovery }: Pick<VmStatus, 'recovery'>): boolean {
  return recovery?.phase === 'waiting';
}

/** The tries begin anew; that it failed still counts. */
function without(recovery: VmRecovery | undefined): VmRecovery | undefined {
  return recovery === undefined ? undefined : { ...recovery, tries: 0 };
}
