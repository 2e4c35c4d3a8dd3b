import { VmSpec, type VmExit, type VmRecovery } from '@skerry/api';
import * as fc from '@skerry/testkit/properties';
import { describe, expect, test } from 'vitest';
import { afterEnd, afterFailure, endOfCommand, guestGraceMs } from '../../src/vms/restart-plan.ts';

const AT_MS = Date.parse('2026-01-01T00:00:00.000Z');
type Restart = { policy: 'never' | 'on-failure' | 'always'; maxTries?: number; backoffMs?: number };
const wish = (restart?: Restart, power: VmSpec['power'] = 'running') => ({
  power,
  restart: VmSpec.shape.restart.parse(restart),
});
const exit = (kind: VmExit['kind'], atMs = AT_MS): VmExit => ({
  at: new Date(atMs).toISOString(),
  kind,
  reason: 'why',
  exitCode: null,
  signal: null,
});

describe('what follows an end', () => {
  test.each([
    [undefined, 'crashed', 'rest'],
    ['never', 'crashed', 'rest'],
    ['on-failure', 'crashed', 'again'],
    ['on-failure', 'stopped', 'rest'],
    ['always', 'crashed', 'again'],
    ['always', 'stopped', 'again'],
  ] as const)('policy %s, %s: %s', (policy, kind, next) => {
    const spec = wish(policy === undefined ? undefined : { policy });
    expect(afterEnd(spec, undefined, exit(kind), 0).next).toBe(next);
    // A stop that somebody has asked for, or a suspend, is never undone.
    for (const power of ['stopped', 'suspended'] as const)
      expect(afterEnd({ ...spec, power }, undefined, exit(kind), 0).next).toBe('rest');
  });

  test('the back-off doubles up to a minute, and a VM that was up for a while begins anew', () => {
    const spec = wish({ policy: 'always' });
    const delays: number[] = [];
    let recovery: VmRecovery | undefined;
    let nowMs = AT_MS;
    for (let count = 0; count < 9; count += 1) {
      const after = afterEnd(spec, recovery, exit('crashed', nowMs), 0);
      if (after.next !== 'again') throw new Error(after.next);
      delays.push(after.delayMs);
      ({ recovery } = after);
      expect(recovery).toMatchObject({ phase: 'waiting', tries: count + 1 });
      expect(Date.parse(recovery.dueAt ?? '')).toBe(nowMs + after.delayMs);
      nowMs += after.delayMs;
    }
    expect(delays).toEqual([1, 2, 4, 8, 16, 32, 60, 60, 60].map((seconds) => seconds * 1000));
    const steady = afterEnd(spec, recovery, exit('crashed', nowMs + 700_000), 10_000);
    expect(steady).toMatchObject({ next: 'again', delayMs: 1000, recovery: { tries: 1 } });
  });

  test('after so many tries in a row it is given up', () => {
    const spec = wish({ policy: 'on-failure', maxTries: 2 });
    const first = afterEnd(spec, undefined, exit('crashed'), 0);
    const second = afterEnd(spec, first.next === 'again' ? first.recovery : undefined, exit('crashed'), 0);
    const third = afterEnd(spec, second.next === 'again' ? second.recovery : undefined, exit('crashed'), 0);
    expect([first.next, second.next]).toEqual(['again', 'again']);
    expect(third).toEqual({ next: 'given-up', why: '2 tries were in vain' });
  });

  test('whatever its rhythm, a VM that ends again and again within the window is left stopped', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 50_000 }), { minLength: 10, maxLength: 10 }), (ups) => {
        const spec = wish({ policy: 'always', backoffMs: 1000 });
        let recovery: VmRecovery | undefined;
        let nowMs = AT_MS;
        const ends: number[] = [];
        for (const up of ups) {
          nowMs += up;
          ends.push(nowMs);
          const after = afterEnd(spec, recovery, exit('crashed', nowMs), up);
          if (after.next !== 'again') {
            expect(ends).toHaveLength(10);
            expect(nowMs - (ends[0] ?? 0)).toBeLessThan(600_000);
            return;
          }
          ({ recovery } = after);
          nowMs += after.delayMs;
        }
        expect((ends[9] ?? 0) - (ends[0] ?? 0)).toBeGreaterThanOrEqual(600_000);
      }),
    );
  });

  test('a failure of long ago does not count', () => {
    const old = {
      phase: 'up' as const,
      tries: 0,
      failedAt: Array.from({ length: 9 }, () => '2025-12-31T23:00:00.000Z'),
    };
    expect(afterFailure(wish({ policy: 'always' }), old, AT_MS)).toMatchObject({
      next: 'again',
      recovery: { failedAt: [new Date(AT_MS).toISOString()] },
    });
  });
});

test.each([
  [undefined, 3, undefined],
  ['never', 3, undefined],
  ['on-failure', 0, undefined],
  ['on-failure', 3, { kind: 'crashed', reason: 'its command failed: it ended with exit code 3' }],
  ['always', 0, { kind: 'stopped', reason: 'its command ended with exit code 0' }],
] as const)('policy %s, command ends with %s', (policy, exitCode, expected) => {
  const spec = wish(policy === undefined ? undefined : { policy });
  expect(endOfCommand(spec, { exitCode, signal: null })).toEqual(expected);
});

test('a command that a signal ended has failed', () => {
  expect(endOfCommand(wish({ policy: 'on-failure' }), { exitCode: null, signal: 'SIGSEGV' })?.kind).toBe('crashed');
});

test('processes of the guest get most of the time, its disks the rest', () => {
  expect([200, 10_000, 30_000].map(guestGraceMs)).toEqual([100, 5000, 25_000]);
});
