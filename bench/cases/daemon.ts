import { timed, type BenchCase, type Row } from '../case.ts';

/** The daemon after `kill -9`, with ten VMs running; its memory; how fast it answers. */
export const daemon: BenchCase = {
  name: 'daemon',
  async run({ host, client, runs, say }): Promise<readonly Row[]> {
    const names = Array.from({ length: 10 }, (_, index) => `kept${index}`);
    for (const name of names) await client.run('vm.create', { body: { name, memoryMib: 64, start: true } });
    const figures = { adoption: [] as number[], rss: [] as number[], list: [] as number[] };
    for (let round = 0; round < runs; round += 1) {
      await host.kill9();
      await host.start();
      const info = await client.call('daemon.info');
      if (info.adoption.adopted !== names.length)
        throw new Error(`adopted ${info.adoption.adopted} of ${names.length}`);
      figures.adoption.push(info.adoption.ms);
      for (let call = 0; call < 20; call += 1) figures.list.push((await timed(() => client.call('vm.list'))).ms);
      figures.rss.push((await client.call('daemon.info')).rssBytes / 2 ** 20);
      say(`adoption ${round + 1}/${runs}: ${info.adoption.ms} ms`);
    }
    for (const name of names) await client.run('vm.delete', { params: { vm: name }, query: { force: true } });
    return [
      { what: 'ten VMs adopted after kill -9', unit: 'ms', values: figures.adoption, bar: { most: 1000 } },
      { what: 'list of ten VMs (API)', unit: 'ms', values: figures.list },
      { what: 'memory of the daemon, ten VMs', unit: 'MiB', values: figures.rss },
    ];
  },
};
