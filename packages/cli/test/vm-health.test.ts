import { describe, expect, test } from 'vitest';
import { healthOf } from '../src/commands/vm-health.ts';
import { Args } from '../src/grammar/index.ts';

const args = (values: Readonly<Record<string, string>>): Args =>
  new Args(new Map(Object.entries(values).map(([name, value]) => [`health-${name}`, [value]])));

describe('a health check as options', () => {
  test.each([
    [{ cmd: 'true' }, { kind: 'exec', argv: ['sh', '-c', 'true'] }],
    [
      { tcp: '80', interval: '1s' },
      { kind: 'tcp', port: 80, intervalMs: 1000 },
    ],
    [{ http: '80' }, { kind: 'http', port: 80 }],
    [
      { http: '80/ok?a', retries: '1' },
      { kind: 'http', port: 80, path: '/ok?a', retries: 1 },
    ],
    [{}, undefined],
  ])('%j', (options, check) => expect(healthOf(args(options))).toEqual(check));

  test('of one that is there only the timing may be changed', () => {
    const before = { kind: 'tcp' as const, port: 80, retries: 3 };
    expect(healthOf(args({ timeout: '1s' }), before)).toEqual({ ...before, timeoutMs: 1000 });
    expect(healthOf(args({}), before)).toBeUndefined();
  });

  test.each([
    [{ cmd: 'true', tcp: '80' }, 'one health check'],
    [{ interval: '1s' }, 'no check'],
    [{ tcp: '0' }, "'0' is no port"],
    [{ http: '/x' }, "'' is no port"],
  ])('%j is refused', (options, message) => expect(() => healthOf(args(options))).toThrow(message));
});
