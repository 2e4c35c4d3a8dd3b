import { describe, expect, it } from 'vitest';
import { Turns, type Turn } from '../../src/vms/turns.ts';

/** Takes a turn and writes down when it has got it. */
async function take(turns: Turns, name: string, got: string[], signal?: AbortSignal): Promise<Turn> {
  const turn = await turns.take(signal);
  got.push(name);
  return turn;
}
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('turns', () => {
  it('are given to so many at once, and then to who came first', async () => {
    const turns = new Turns(2);
    const got: string[] = [];
    const taken = ['a', 'b', 'c', 'd'].map((name) => take(turns, name, got));
    await settled();
    expect(got).toEqual(['a', 'b']);
    const first = await taken[0];
    first?.[Symbol.dispose]();
    first?.[Symbol.dispose](); // ends once
    await settled();
    expect(got).toEqual(['a', 'b', 'c']);
    for (const index of [1, 2]) (await taken[index])?.[Symbol.dispose]();
    (await taken[3])?.[Symbol.dispose]();
    expect((await Promise.all(taken)).map((turn) => turn.hasWaited)).toEqual([false, false, true, true]);
    expect(got).toEqual(['a', 'b', 'c', 'd']);
    // All are free again.
    await Promise.all([take(turns, 'e', got), take(turns, 'f', got)]);
  });

  it('are not waited for any more by who is cancelled', async () => {
    const turns = new Turns(1);
    const got: string[] = [];
    const first = await take(turns, 'a', got);
    const stop = new AbortController();
    const cancelled = take(turns, 'b', got, stop.signal);
    const third = take(turns, 'c', got);
    stop.abort();
    await expect(cancelled).rejects.toMatchObject({ code: 'cancelled' });
    await expect(take(turns, 'd', got, stop.signal)).rejects.toMatchObject({ code: 'cancelled' });
    first[Symbol.dispose]();
    (await third)[Symbol.dispose]();
    expect(got).toEqual(['a', 'c']);
  });

  it('end by themselves when somebody keeps one', async () => {
    const turns = new Turns(1, 20);
    const got: string[] = [];
    const kept = await take(turns, 'a', got);
    await take(turns, 'b', got);
    expect(got).toEqual(['a', 'b']);
    kept[Symbol.dispose](); // gives nothing twice: `b` has it
    const third = take(turns, 'c', got);
    await settled();
    expect(got).toEqual(['a', 'b']);
    await third;
  });
});
