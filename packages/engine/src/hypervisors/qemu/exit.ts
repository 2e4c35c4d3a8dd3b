import type { MachineExit } from '../contract.ts';
import { describeEnd, type JailEnd, type JailExit } from '../jail/index.ts';

/** What was seen of the VM while it lived; nothing, for one that ended while no daemon watched. */
export interface Seen {
  /** Reason of QEMU's SHUTDOWN event (`ShutdownCause` in QEMU's qapi/run-state.json). */
  readonly cause?: string | undefined;
  readonly panicked?: boolean | undefined;
  readonly killedByUs?: boolean | undefined;
}

/**
 * Why a VM is gone. Pure.
 * @param console what the guest has written on its console since its start, or the end of that
 */
export function machineExit(end: JailEnd, seen: Seen, console: string, nowMs: number): MachineExit {
  if (end.cause !== 'exit') {
    return { kind: 'crashed', code: null, signal: null, reason: sentence(describeEnd(end)), atMs: nowMs };
  }
  const { kind, reason } = verdict(end.exit, seen, console, describeEnd(end));
  const { code, signal, endedAtMs } = end.exit;
  return { kind, code, signal, reason: sentence(reason), atMs: endedAtMs };
}

type Verdict = Pick<MachineExit, 'kind' | 'reason'>;

function verdict(exit: JailExit, seen: Seen, console: string, how: string): Verdict {
  if (seen.killedByUs === true) return { kind: 'killed', reason: 'it was powered off by Skerry' };
  if (exit.ranOutOfMemory === true) return { kind: 'crashed', reason: how };
  // The last words of supervise.c, after which the server's own may come.
  const unserved = /\[vmjail: the server of (\S+) has ended/.exec(exit.stderrTail)?.[1];
  if (unserved !== undefined) {
    return {
      kind: 'crashed',
      reason: `virtiofsd, which served ${unserved}, has ended, and the VM can not go on without it`,
    };
  }
  if (exit.signal !== null || exit.code !== 0) return { kind: 'crashed', reason: `QEMU crashed: ${how}` };
  // A kernel that panics resets itself (panic=-1), so QEMU ends as if all were well.
  const panic = panicLine(console);
  if (panic !== undefined) return { kind: 'crashed', reason: `the guest's kernel panicked: ${panic}` };
  if (seen.panicked === true) return { kind: 'crashed', reason: "the guest's kernel panicked" };
  switch (seen.cause) {
    case 'guest-shutdown':
      return { kind: 'shutdown', reason: 'the guest powered off' };
    case 'guest-reset':
    case 'subsystem-reset':
      return { kind: 'reset', reason: 'the guest reset itself' };
    case 'guest-panic':
      return { kind: 'crashed', reason: "the guest's kernel panicked" };
    case 'host-error':
      return { kind: 'crashed', reason: `QEMU gave up: ${how}` };
    default:
      break;
  }
  // QEMU says so on stderr, and exits with 0.
  const terminated = /terminating on signal [^\n]*/.exec(exit.stderrTail)?.[0];
  if (terminated !== undefined) return { kind: 'killed', reason: `somebody ended QEMU: ${terminated}` };
  if (seen.cause !== undefined) return { kind: 'killed', reason: `somebody ended QEMU (${seen.cause})` };
  return { kind: 'reset', reason: 'the guest ended while no daemon was watching' };
}

function panicLine(console: string): string | undefined {
  return /Kernel panic - not syncing: *([^\r\n]*)/.exec(console)?.[1]?.trim();
}

function sentence(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
