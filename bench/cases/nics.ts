import { timed, type BenchCase, type Row } from '../case.ts';

/** A NIC for a VM that runs: from the call to the first answer to a ping through it. */
export const nicAdd: BenchCase = {
  name: 'nic-add',
  async run({ client, runs }): Promise<readonly Row[]> {
    const vm = { image: 'micro', cpus: 1, memoryMib: 128, nics: [{ network: 'lab' }] };
    await client.run('node.up', {
      body: { name: 'room', spec: { vms: { db: vm }, networks: { lab: { egress: false } } } },
    });
    await client.run('vm.create', { body: { name: 'web', start: true } });
    const address = (await client.call('vm.get', { params: { vm: 'room/db' } })).status.nics[0]?.address ?? '';
    const added: number[] = [];
    const pinged: number[] = [];
    for (let round = 0; round < Math.max(runs, 7); round += 1) {
      const whole = await timed(async () => {
        const add = { params: { vm: 'web' }, body: { network: 'room-lab' } };
        added.push((await timed(() => client.run('vm.nic.add', add))).ms);
        const { exitCode } = await client.exec('web', `ping -c 1 -W 5 ${address}`);
        if (exitCode !== 0) throw new Error(`${address} does not answer`);
      });
      pinged.push(whole.ms);
      await client.run('vm.nic.remove', { params: { vm: 'web', nic: 'eth1' } });
    }
    await client.run('vm.delete', { params: { vm: 'web' }, query: { force: true } });
    await client.run('node.delete', { params: { node: 'room' } });
    return [
      { what: 'NIC added to a running VM, to the first ping', unit: 'ms', values: pinged, bar: { most: 1000 } },
      { what: 'the same, the call alone', unit: 'ms', values: added },
    ];
  },
};
