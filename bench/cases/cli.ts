import { join } from 'node:path';
import { finished, timed, type BenchCase, type Row } from '../case.ts';

/** `skerry list` through the launcher, as a person types it, against Node doing nothing. */
export const cli: BenchCase = {
  name: 'cli',
  async run({ host, client, runs }): Promise<readonly Row[]> {
    await client.run('vm.create', { body: { name: 'listed' } });
    const skerry = join(import.meta.dirname, '../../skerry');
    const figures = { list: [] as number[], node: [] as number[] };
    for (let round = -3; round < runs * 2; round += 1) {
      const list = (await timed(() => finished(skerry, ['list'], host.env))).ms;
      const node = (await timed(() => finished(process.execPath, ['-e', '0'], host.env))).ms;
      if (round < 0) continue; // fills the compile cache
      figures.list.push(list);
      figures.node.push(node);
    }
    await client.run('vm.delete', { params: { vm: 'listed' } });
    const ratio = figures.list.map((ms, index) => ms / (figures.node[index] ?? Number.NaN));
    return [
      { what: '`skerry list`', unit: 'ms', values: figures.list },
      { what: '`node -e 0`', unit: 'ms', values: figures.node },
      { what: '`skerry list` / `node -e 0`', unit: 'x', values: ratio, bar: { most: 2 } },
    ];
  },
};
