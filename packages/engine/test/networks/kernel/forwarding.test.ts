import { describe, expect, test } from 'vitest';
import { isOurs6, passingOf, type Changed, type Switches } from '../../../src/networks/kernel/forwarding-plan.ts';

const OFF: Switches = {
  ipv4: false,
  ipv6: false,
  default6: false,
  interfaces: new Map([
    ['wlan0', false],
    ['eth0', false],
  ]),
  names: ['all', 'default', 'lo', 'eth0', 'wlan0'],
};
const changed = (interfaces: string[], ipv6?: Changed['ipv6']): Changed => ({ version: 1, interfaces, ipv6 });
const DONE = { stage: 'done', routers: [], listeners: ['eth0'] } as const;

describe('what a host is made to pass on', () => {
  test('is by the interfaces that did not', () => {
    expect(passingOf(OFF, undefined, false)).toEqual({
      interfaces: ['eth0', 'wlan0'],
      ipv6: false,
    });
    const one = new Map([
      ['wlan0', false],
      ['eth0', true],
    ]);
    expect(passingOf({ ...OFF, interfaces: one }, undefined, false).interfaces).toEqual(['wlan0']);
  });

  test('stays ours while an interface is down, and until somebody else has it', () => {
    const on = { ...OFF, interfaces: new Map([['eth0', true]]) };
    expect(passingOf(on, changed(['eth0', 'wlan0']), false).interfaces).toEqual(['eth0', 'wlan0']);
    expect(passingOf({ ...on, names: ['eth0'] }, changed(['eth0', 'wlan0']), false).interfaces).toEqual(['eth0']);
    expect(passingOf({ ...on, ipv4: true }, changed(['eth0', 'wlan0']), false)).toEqual({
      interfaces: [],
      ipv6: false,
    });
  });

  test('is IPv6 where a network leads out by it, as long as nobody else has written', () => {
    const on = { ...OFF, ipv6: true };
    expect(passingOf(OFF, undefined, true).ipv6).toBe(true);
    expect(passingOf(on, undefined, true).ipv6).toBe(false);
    expect(passingOf(on, changed([], DONE), true).ipv6).toBe(true);
    expect(passingOf(on, changed([], DONE), false).ipv6).toBe(true);
    expect(passingOf({ ...on, default6: true }, changed([], DONE), true).ipv6).toBe(false);
    // Somebody has turned it off: it is turned on again.
    expect(passingOf(OFF, changed([], DONE), true).ipv6).toBe(true);
  });

  test('is ours where we were cut off before all of it was done', () => {
    const now = { ...OFF, ipv6: true, default6: true };
    expect(isOurs6(now, { ...DONE, stage: 'begun' })).toBe(true);
    expect(isOurs6(now, DONE)).toBe(false);
    // It was so before: this can not tell of others.
    expect(isOurs6(now, { ...DONE, routers: ['default'] })).toBe(true);
  });
});
