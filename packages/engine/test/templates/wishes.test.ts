import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { Wishes } from '../../src/templates/wishes.ts';

const QUIET_MS = 60;

describe('wishes', () => {
  let wishes = new Wishes({ misses: 2, quietMs: QUIET_MS });
  const made: string[] = [];
  afterEach(async () => {
    await wishes.close();
    wishes = new Wishes({ misses: 2, quietMs: QUIET_MS });
    made.length = 0;
  });
  const miss = (id: string): void => {
    wishes.miss(id, async () => made.push(id));
    wishes.holdOff();
  };

  it('are made once they have been missed often enough, one after the other, and once', async () => {
    miss('once');
    for (const id of ['a', 'b', 'a', 'b']) miss(id);
    await expect.poll(() => made).toEqual(['a', 'b']);
    await sleep(3 * QUIET_MS);
    expect(made).toEqual(['a', 'b']);
  });

  it('wait as long as somebody starts something', async () => {
    miss('a');
    miss('a');
    for (let turn = 0; turn < 8; turn += 1) {
      await sleep(QUIET_MS / 4);
      wishes.holdOff();
      expect(made).toEqual([]);
    }
    await expect.poll(() => made).toEqual(['a']);
  });

  it('that fail do not keep the others from being made', async () => {
    for (let turn = 0; turn < 2; turn += 1) wishes.miss('bad', () => Promise.reject(new Error('no room')));
    miss('good');
    miss('good');
    await expect.poll(() => made).toEqual(['good']);
  });

  it('are given up when it closes, but for the one that is being made', async () => {
    let isDone = false;
    const make = async (): Promise<void> => {
      made.push('slow');
      await sleep(QUIET_MS);
      isDone = true;
    };
    wishes.miss('slow', make);
    wishes.miss('slow', make);
    miss('late');
    miss('late');
    await expect.poll(() => made).toEqual(['slow']);
    await wishes.close();
    expect(isDone).toBe(true);
    await sleep(2 * QUIET_MS);
    expect(made).toEqual(['slow']);
  });
});
