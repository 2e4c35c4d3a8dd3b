import { timed, type BenchCase, type Row } from '../case.ts';

/** A command in a guest, by the SDK over its kept connection. */
export const exec: BenchCase = {
  name: 'exec',
  async run({ client, runs }): Promise<readonly Row[]> {
    await client.run('vm.create', { body: { name: 'exec', start: true } });
    const vm = await client.vm('exec');
    const values: number[] = [];
    for (let round = -5; round < Math.max(runs, 7) * 10; round += 1) {
      const { ms } = await timed(async () => vm.exec('hostname'));
      if (round >= 0) values.push(ms);
    }
    await vm.delete({ force: true });
    return [{ what: 'exec hostname, SDK, kept connection', unit: 'ms', values, bar: { most: 15 } }];
  },
};
