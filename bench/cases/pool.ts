import { timed, type BenchCase, type Row } from '../case.ts';

/** Starts that take a clone which has waited, one at a time: before each the pool is full and the host at rest. */

const SIZE = 2;
const REFILL_MS = 60_000;
/** After a start a pool waits this long before it makes others, and a delete takes its time, too. */
const REST_MS = 700;

export const pool: BenchCase = {
  name: 'pool',
  async run({ client, runs, say }): Promise<readonly Row[]> {
    const set = (size: number) => client.call('pool.set', { params: { image: 'micro' }, body: { size } });
    const isFull = async (): Promise<boolean> => ((await client.call('pool.list'))[0]?.ready ?? 0) >= SIZE;
    // The switch ends with the last VM; starting it anew is not what is measured.
    await client.run('vm.create', { body: { name: 'stays', start: true } });
    await set(SIZE);
    const whole: number[] = [];
    const identified: number[] = [];
    for (let round = 0; round < Math.max(20, runs); round += 1) {
      const deadline = performance.now() + REFILL_MS;
      while (!(await isFull())) {
        if (performance.now() > deadline) throw new Error(JSON.stringify(await client.call('pool.list')));
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      await new Promise((resolve) => setTimeout(resolve, REST_MS));
      const { ms, value } = await timed(() => client.run('vm.create', { body: { name: 'taken', start: true } }));
      if (value.status.start?.how !== 'pool')
        throw new Error(`it was no start from the pool: ${value.status.start?.how}`);
      whole.push(ms);
      identified.push(value.status.start.totalMs);
      await client.run('vm.delete', { params: { vm: value.id }, query: { force: true } });
    }
    await set(0);
    await client.run('vm.delete', { params: { vm: 'stays' }, query: { force: true } });
    say(`pool: ${Math.round(whole.toSorted((a, b) => a - b)[whole.length >> 1] ?? 0)} ms`);
    return [
      { what: 'start from a warm pool, call to answer', unit: 'ms', values: whole, bar: { most: 60 } },
      { what: 'of it, from the start to identified', unit: 'ms', values: identified },
    ];
  },
};
