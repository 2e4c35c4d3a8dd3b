import { FakeHosts, ip, serve, throughputMbit } from '../../packages/engine/test/networks/kernel/hosts.ts';
import { networkOf, nicOf, vmOf } from '../../packages/engine/test/networks/kernel/networks.ts';
import { tagOf, tapName } from '../../packages/engine/src/networks/kernel/index.ts';
import type { BenchCase, Row } from '../case.ts';

/** Networks in the kernel, as root, between namespaces that stand for hosts and guests: nothing of this host's own is touched. */

const VMS = [vmOf('a', [nicOf(0, 10)]), vmOf('b', [nicOf(0, 11)])] as const;

/** TCP from guest to guest over our bridge, with all its rules, and over one that was made by hand, in turn. */
export const kernelBridge: BenchCase = {
  name: 'kernel-bridge',
  async run({ runs, say }): Promise<readonly Row[]> {
    if (process.getuid?.() !== 0) return skipped(say);
    await using hosts = new FakeHosts();
    const [ours, byHand] = await Promise.all([hosts.host(), hosts.host()]);
    const [a, b] = [await hosts.guest(ours, VMS[0]), await hosts.guest(ours, VMS[1])];
    const [c, d] = [await hosts.guest(byHand, VMS[0]), await hosts.guest(byHand, VMS[1])];
    await ours.sync({ networks: [networkOf(0, 'nat')], vms: VMS });
    await ip('-n', byHand.netns, 'link', 'add', 'hand0', 'type', 'bridge', 'forward_delay', '0');
    await ip('-n', byHand.netns, 'link', 'set', 'hand0', 'up');
    for (const { id } of VMS)
      await ip('-n', byHand.netns, 'link', 'set', tapName(tagOf(byHand.instance), id, 0), 'master', 'hand0', 'up');
    await using _1 = await serve(b);
    await using _2 = await serve(d);
    const gbit = async (guest: string): Promise<number> => (await throughputMbit(guest, '10.213.0.11')) / 1000;
    const [own, hand, ratios]: [number[], number[], number[]] = [[], [], []];
    for (let round = 0; round < runs; round += 1) {
      // Whoever is second has a warmer machine.
      const pair = round % 2 === 0 ? [await gbit(a), await gbit(c)] : [await gbit(c), await gbit(a)].toReversed();
      const [mine = 0, other = 0] = pair;
      own.push(mine);
      hand.push(other);
      ratios.push(mine / other);
    }
    return [
      { what: 'kernel datapath, guest to guest, one TCP stream', unit: 'Gbit/s', values: own },
      { what: 'the same over a bridge made by hand', unit: 'Gbit/s', values: hand },
      { what: 'kernel datapath / bridge by hand, pair by pair', unit: 'x', values: ratios, bar: { least: 0.95 } },
    ];
  },
};

/** Fifty NICs that are there, and nothing else of their five networks: until all of it is, DHCP and DNS running. */
export const fiftyNics: BenchCase = {
  name: 'nics-50',
  async run({ runs, say }): Promise<readonly Row[]> {
    if (process.getuid?.() !== 0) return skipped(say);
    await using hosts = new FakeHosts();
    const host = await hosts.host();
    const networks = Array.from({ length: 5 }, (_, n) => networkOf(n, n < 3 ? 'nat' : 'isolated'));
    const values: number[] = [];
    for (let round = 0; round < runs; round += 1) {
      // Of their own: those of a namespace go with it.
      const vms = Array.from({ length: 50 }, (_, n) => vmOf(`vm-${round}-${n}`, [nicOf(n % 5, 10 + n)]));
      await hosts.guests(host, vms);
      values.push(await host.sync({ networks, vms }));
      await host.sync({ networks: [], vms: [] });
    }
    return [{ what: '50 NICs on 5 networks in the kernel, from nothing', unit: 'ms', values, bar: { most: 1500 } }];
  },
};

function skipped(say: (text: string) => void): readonly Row[] {
  say('left out: only root has networks in the kernel');
  return [];
}
