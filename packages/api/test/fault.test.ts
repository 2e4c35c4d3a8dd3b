import * as fc from '@skerry/testkit/properties';
import { describe, expect, test } from 'vitest';
import {
  amountOf,
  FaultStart,
  formatAmount,
  formatImpairment,
  formatPercent,
  Impairment,
  parseAmount,
  parseImpairment,
  parsePercent,
} from '../src/index.ts';

const invalid = expect.objectContaining({ code: 'invalid', remedy: expect.any(String) });

test('shares are percentages or plain numbers', () => {
  expect([parsePercent('1%'), parsePercent('0.5 %'), parsePercent('0.5'), parsePercent('150%')]).toEqual([
    0.01, 0.005, 0.5, 1.5,
  ]);
  for (const text of ['', '%', '-1%', '1 percent', 'half']) expect(() => parsePercent(text), text).toThrow(invalid);
  expect([formatPercent(0.01), formatPercent(0.000976), formatPercent(1)]).toEqual(['1%', '0.0976%', '100%']);
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 100_000 }), (thousandths) => {
      const share = parsePercent(`${thousandths / 1000}%`);
      expect(parsePercent(formatPercent(share))).toBeCloseTo(share, 8);
    }),
  );
});

describe('amounts', () => {
  test.each([
    ['cpu', '50%', 0.5, '50%'],
    ['cpu', '2', 2, '200%'],
    ['memory', '80%', 0.8, '80%'],
    ['clock', '90', 90, '+1m30s'],
    ['clock', '-30s', -30, '-30.0s'],
    ['clock', '2h', 7200, '+2h00m'],
    ['disk-latency', '20', 20, '20ms'],
    ['disk-latency', '1s', 1000, '1.0s'],
    ['disk-error', '0.1%', 0.001, '0.1%'],
  ])('%s %s', (kind, text, amount, shown) => {
    expect(parseAmount(kind, text)).toBe(amount);
    expect(formatAmount(kind, amount)).toBe(shown);
  });

  test('are within what can be, and there only where they mean something', () => {
    expect(amountOf('cpu', undefined, 3)).toBe(3);
    expect(amountOf('memory', undefined, 3)).toBe(0.8);
    expect(amountOf('freeze', undefined, 3)).toBeUndefined();
    for (const [kind, amount] of [
      ['cpu', 0],
      ['memory', 1.01],
      ['clock', 0],
      ['disk-latency', 0],
      ['disk-error', 2],
      ['freeze', 1],
    ] as const) {
      expect(() => amountOf(kind, amount, 1), kind).toThrow(invalid);
    }
    expect(() => parseAmount('clock', 'noon')).toThrow(invalid);
    expect(() => parseAmount('crash', '1')).toThrow(invalid);
  });
});

test('impairments are written as they are read', () => {
  const texts = { delay: '20ms', jitter: '2', loss: '1%', rate: '20mbit' };
  const impairment = parseImpairment(texts);
  expect(impairment).toEqual({ delayMs: 20, jitterMs: 2, loss: 0.01, rateKbit: 20_000 });
  expect(formatImpairment(impairment)).toBe('delay 20ms, jitter 2ms, loss 1%, rate 20mbit');
  expect(Impairment.parse(impairment)).toEqual(impairment);
  expect(() => parseImpairment({ loss: '200%' })).toThrow(invalid);
  expect(() => parseImpairment({ delay: 'soon' })).toThrow(
    expect.objectContaining({ message: expect.stringMatching(/^delay/) }),
  );
});

test('a fault has the fields of its kind, and no others', () => {
  const parse = (spec: object, forMs?: unknown) => FaultStart.safeParse({ spec, forMs }).success;
  expect(parse({ kind: 'freeze', vm: 'shop/web' }, 1000)).toBe(true);
  expect(parse({ kind: 'freeze', vm: 'shop/web' }, 'forever')).toBe(true);
  expect(parse({ kind: 'freeze', vm: 'shop/web' }, 1)).toBe(false);
  expect(parse({ kind: 'freeze', nic: 'web:eth0' }, 1000)).toBe(false);
  expect(parse({ kind: 'impair', nic: 'web:eth0', impairment: { loss: 2 } }, 1000)).toBe(false);
  expect(parse({ kind: 'partition', node: 'shop', groups: [] }, 1000)).toBe(false);
  expect(parse({ kind: 'flood', vm: 'web' }, 1000)).toBe(false);
});
