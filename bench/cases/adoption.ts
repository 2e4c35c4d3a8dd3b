import type { BenchCase, Row } from '../case.ts';

/** Fifty VMs taken up again after the daemon was killed. */

const COUNT = 50;
const AT_ONCE = 5;
const ROUNDS = 3;

export const adoption: BenchCase = {
  name: 'adoption',
  async run({ host, client, say }): Promise<readonly Row[]> {
    const names = Array.from({ length: COUNT }, (_, index) => `many${index}`);
    const create = (name: string) => client.run('vm.create', { body: { name, memoryMib: 64, start: true } });
    for (let at = 0; at < COUNT; at += AT_ONCE) await Promise.all(names.slice(at, at + AT_ONCE).map(create));
    const figures = { adoption: [] as number[], rss: [] as number[] };
    for (let round = 0; round < ROUNDS; round += 1) {
      await host.kill9();
      await host.start();
      const info = await host.client.call('daemon.info');
      if (info.adoption.adopted !== COUNT) throw new Error(`adopted ${info.adoption.adopted} of ${COUNT}`);
      figures.adoption.push(info.adoption.ms);
      figures.rss.push(info.rssBytes / 2 ** 20);
      say(`adoption of ${COUNT}, ${round + 1}/${ROUNDS}: ${info.adoption.ms} ms`);
    }
    const remove = (vm: string) => host.client.run('vm.delete', { params: { vm }, query: { force: true } });
    for (let at = 0; at < COUNT; at += AT_ONCE) await Promise.all(names.slice(at, at + AT_ONCE).map(remove));
    return [
      { what: 'fifty VMs adopted after kill -9', unit: 'ms', values: figures.adoption, bar: { most: 1000 } },
      { what: 'memory of the daemon, fifty VMs', unit: 'MiB', values: figures.rss, bar: { most: 200 } },
    ];
  },
};
