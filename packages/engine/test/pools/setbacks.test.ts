import { describe, expect, it } from 'vitest';
import { Setbacks } from '../../src/pools/setbacks.ts';

describe('Setbacks', () => {
  const at = { ms: 0 };
  const setbacks = (): Setbacks => {
    at.ms = 0;
    return new Setbacks(() => at.ms);
  };

  it('holds back soon for a moment, and longer each time, up to half a minute', () => {
    const some = setbacks();
    const waits: number[] = [];
    for (let count = 0; count < 8; count += 1) {
      const waitMs = some.add('micro', 'why');
      waits.push(waitMs);
      expect(some.isHeldBack('micro')).toBe(true);
      at.ms += waitMs;
      expect(some.isHeldBack('micro')).toBe(false);
    }
    expect(waits).toEqual([1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000]);
  });

  it('does not begin anew for one that is lost as soon as it is made, but forgives in time', () => {
    const some = setbacks();
    some.add('micro', 'why');
    some.overcome('micro');
    expect(some.message('micro')).toBeUndefined();
    expect(some.add('micro', 'again')).toBe(2000);
    at.ms += 62_001;
    expect(some.add('micro', 'much later')).toBe(1000);
  });

  it('can be told to wait long, and to forget', () => {
    const some = setbacks();
    expect(some.add('micro', 'VMs needed the memory', { isLong: true })).toBe(30_000);
    expect([some.message('micro'), some.message('other')]).toEqual(['VMs needed the memory', undefined]);
    expect(some.isHeldBack('other')).toBe(false);
    some.forget('micro');
    expect([some.message('micro'), some.isHeldBack('micro')]).toEqual([undefined, false]);
  });
});
