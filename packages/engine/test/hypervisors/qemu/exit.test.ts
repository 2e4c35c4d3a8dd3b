import { describe, expect, it } from 'vitest';
import type { JailEnd, JailExit } from '../../../src/hypervisors/jail/index.ts';
import { machineExit, type Seen } from '../../../src/hypervisors/qemu/exit.ts';

const NOW_MS = 2_000_000;

function ended(changes: Partial<JailExit> = {}): JailEnd {
  const exit = {
    pid: 42,
    startTime: '1',
    code: 0,
    signal: null,
    startedAtMs: 1,
    endedAtMs: 1_000_000,
    maxRssKib: 1,
    stderrTail: '',
  };
  return { cause: 'exit', exit: { ...exit, ...changes } };
}

const CASES: ReadonlyArray<
  readonly [what: string, end: JailEnd, seen: Seen, console: string, kind: string, reason: RegExp]
> = [
  ['we killed it', ended(), { killedByUs: true, cause: 'host-qmp-quit' }, '', 'killed', /by Skerry/],
  ['we had to use SIGKILL', ended({ code: null, signal: 'SIGKILL' }), { killedByUs: true }, '', 'killed', /by Skerry/],
  ['a power-off', ended(), { cause: 'guest-shutdown' }, '', 'shutdown', /powered off/],
  ['a reset', ended(), { cause: 'guest-reset' }, 'login:', 'reset', /reset itself/],
  [
    'a panic',
    ended(),
    { cause: 'guest-reset' },
    '[ 1.0] Kernel panic - not syncing: Oops\r\n',
    'crashed',
    /panicked: Oops$/,
  ],
  ['a panic nobody saw', ended(), {}, 'Kernel panic - not syncing: Oops', 'crashed', /panicked: Oops$/],
  ['a panic by an event', ended(), { panicked: true, cause: 'guest-reset' }, '', 'crashed', /panicked$/],
  [
    'the end of what served it',
    ended({
      code: null,
      signal: 'SIGKILL',
      stderrTail: '\n[vmjail: the server of share0 has ended, so the VM is ended, too]\nvirtio_loop: Exit\n',
    }),
    {},
    '',
    'crashed',
    /^Virtiofsd, which served share0, has ended/,
  ],
  ['an error of the host', ended(), { cause: 'host-error' }, '', 'crashed', /gave up/],
  [
    'a bad end',
    ended({ code: 1, stderrTail: 'a\nno such device\n' }),
    {},
    '',
    'crashed',
    /exit code 1: no such device$/,
  ],
  [
    'a limit of memory',
    ended({ code: null, signal: 'SIGKILL', ranOutOfMemory: true }),
    {},
    '',
    'crashed',
    /^The host ended it, for it took more memory/,
  ],
  ['a signal', ended({ code: null, signal: 'SIGSEGV' }), {}, '', 'crashed', /killed by SIGSEGV/],
  [
    'SIGTERM',
    ended({ stderrTail: 'x: terminating on signal 15 from pid 1\n' }),
    {},
    '',
    'killed',
    /signal 15 from pid 1$/,
  ],
  ['another monitor', ended(), { cause: 'host-qmp-quit' }, '', 'killed', /host-qmp-quit/],
  ['an end nobody saw', ended(), {}, '', 'reset', /no daemon/],
  ['a killed supervisor', { cause: 'supervisor-killed' }, { cause: 'guest-reset' }, '', 'crashed', /^Its supervisor/],
  ['a restarted host', { cause: 'host-restarted' }, {}, '', 'crashed', /host was restarted/],
];

describe('machineExit', () => {
  it.each(CASES)('%s', (_, end, seen, console, kind, reason) => {
    const exit = machineExit(end, seen, console, NOW_MS);
    expect(exit.kind).toBe(kind);
    expect(exit.reason).toMatch(reason);
    expect(exit.reason).toMatch(/^[A-Z]/);
    expect(exit.atMs).toBe(end.cause === 'exit' ? 1_000_000 : NOW_MS);
  });
});
