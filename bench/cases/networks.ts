import { timed, type BenchCase, type Row } from '../case.ts';

/** Networks made by hand, by the SDK, from the call to the end of the task. */
export const networkCreate: BenchCase = {
  name: 'network-create',
  async run({ client, runs }): Promise<readonly Row[]> {
    const values: number[] = [];
    for (let round = -2; round < Math.max(runs, 7) * 3; round += 1) {
      const name = `bench-${round + 2}`;
      const { ms } = await timed(() => client.run('network.create', { body: { name } }));
      if (round >= 0) values.push(ms);
    }
    for (const { name } of await client.call('network.list')) {
      if (name.startsWith('bench-')) await client.run('network.delete', { params: { network: name } });
    }
    return [{ what: 'network create, SDK', unit: 'ms', values, bar: { most: 150 } }];
  },
};
