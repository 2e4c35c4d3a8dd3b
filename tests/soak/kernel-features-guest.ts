import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Impairment } from '@skerry/api';
import { probeKernelFeatures } from '../../packages/engine/src/hosts/kernel-features.ts';
import { run } from '../../packages/engine/src/hosts/index.ts';
import { findJailHost } from '../../packages/engine/src/hypervisors/index.ts';
import { KernelDatapath, kernelSupport, tapName } from '../../packages/engine/src/networks/kernel/index.ts';
import type { PlannedNetwork, PlannedVm } from '../../packages/engine/src/networks/index.ts';
import { ip, serve, throughputMbit } from '../../packages/engine/test/networks/kernel/hosts.ts';
import { networkOf, nicOf, vmOf } from '../../packages/engine/test/networks/kernel/networks.ts';
import { streamed } from './frame-stream.ts';

/**
 * Runs as root in a VM of ours whose kernel has netem, ifb and VLAN filtering (`kernel-features.ts`): the kernel datapath as it is,
 * between ends that are network namespaces. A line for each thing that was measured; exit code 1 if one is not as it was asked for.
 */

const INSTANCE = 'feat';
const NEEDED = [
  'tap',
  'bridge',
  'vlan-filtering',
  'vlan',
  'netem',
  'netem-seed',
  'ifb',
  'tbf',
  'nftables',
  'bridge-filters',
];

let failed = 0;
function say(isOk: boolean, what: string): void {
  if (!isOk) failed += 1;
  process.stdout.write(`${isOk ? 'ok  ' : 'FAIL'} ${what}\n`);
}

const features = await probeKernelFeatures(0);
for (const { id, state, found } of features)
  if (NEEDED.includes(id)) process.stdout.write(`     ${id}: ${state}, ${found}\n`);
const support = kernelSupport({ uid: 0, features, tools: [] });
const { lack, netem, ifb, vlanFiltering, bridgeFilters } = support;
say(lack === undefined && netem && ifb && vlanFiltering && bridgeFilters, 'the probe finds what this kernel has');
if (failed > 0) process.exit(1);

const jail = { ...(await findJailHost()), scope: 'none' as const };
const runtimeDir = await mkdtemp(join(tmpdir(), 'skf-'));
const part = process.argv[2];
if (part !== 'vlans') await impairments();
if (part !== 'impairments') await vlans();
process.exit(failed === 0 ? 0 : 1);

/** By a daemon that lives no longer than that: what it would look at every few seconds costs an emulated machine all it has. */
async function during(work: (datapath: KernelDatapath) => Promise<void>): Promise<void> {
  const ports = { support: async () => support, hostNetwork: async () => ({ resolvers: [], routes6: [] }) };
  const datapath = new KernelDatapath({ runtimeDir, instance: INSTANCE, jail, ...ports });
  await work(datapath);
  await datapath.close();
}

/** The far end of a tap. @returns its namespace */
async function endOf(vm: PlannedVm): Promise<string> {
  const netns = `end-${vm.name}`;
  const tap = tapName(INSTANCE, vm.id, 0);
  await ip('netns', 'add', netns);
  await ip('link', 'add', tap, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', netns);
  await ip('-n', netns, 'link', 'set', 'eth0', 'address', vm.nics[0]?.mac ?? '', 'up');
  await ip('-n', netns, 'address', 'add', `${vm.nics[0]?.address}/24`, 'dev', 'eth0');
  return netns;
}

async function impairments(): Promise<void> {
  const networks = [networkOf(0, 'isolated')];
  const [web, db] = [vmOf('web', [nicOf(0, 10)]), vmOf('db', [nicOf(0, 11)])];
  const [webEnd, dbEnd] = [await endOf(web), await endOf(db)];
  /** Of what web sends (`out`) and gets. It is read back before this returns. */
  const impair = (what?: { out?: Impairment; in?: Impairment; untilMs?: number }): Promise<void> => {
    const nic = nicOf(0, 10, what === undefined ? {} : { impairments: [{ seed: 7, ...what }] });
    return during((datapath) => datapath.sync(networks, [vmOf('web', [nic]), db]));
  };
  const ping = (count?: number): Promise<Pinged> => pinged(webEnd, '10.213.0.11', count);
  const stream = (): ReturnType<typeof streamed> => streamed(webEnd, dbEnd, '10.213.0.11');
  const near = (found: number, asked: number, within: number): boolean => Math.abs(found - asked) <= within;
  const share = (count: number, sent: number): string => `${((count / sent) * 100).toFixed(1)} % of ${sent}`;

  await impair();
  const base = await ping();
  say(base.lost === 0, `nothing asked: round trip ${base.medianMs.toFixed(2)} ms`);
  const plain = await stream();
  say(
    plain.lost + plain.doubled === 0,
    `nothing asked: ${plain.overtaken} of ${plain.sent} overtaken, none lost or doubled`,
  );
  for (const [out, back] of [
    [40, 0],
    [20, 30],
  ] as const) {
    await impair({ out: { delayMs: out }, in: { delayMs: back } });
    const found = (await ping()).medianMs - base.medianMs;
    say(near(found, out + back, 5), `delay of ${out} ms out and ${back} ms in: ${found.toFixed(1)} ms more`);
  }
  await impair({ out: { delayMs: 40, jitterMs: 15 } });
  const { minMs, maxMs } = await ping(60);
  say(
    maxMs - minMs > 18 && maxMs - minMs < 45,
    `40 ms with jitter of 15 ms: ${minMs.toFixed(1)} to ${maxMs.toFixed(1)} ms`,
  );
  const inOrder = await stream();
  say(
    inOrder.overtaken <= plain.overtaken + 2 && inOrder.lost === 0,
    `jitter keeps the order: ${inOrder.overtaken} of ${inOrder.sent} overtaken`,
  );

  await impair({ out: { loss: 0.1 } });
  const lossy = await stream();
  say(near(lossy.lost / lossy.sent, 0.1, 0.03), `loss of 10 %: ${share(lossy.lost, lossy.sent)}`);
  // The whole set is sent: nothing of what was asked before stays.
  await impair({ out: { duplicate: 0.2 } });
  const { doubled, lost, sent } = await stream();
  say(
    near(doubled / sent, 0.2, 0.04) && lost === 0,
    `duplicates of 20 %, no loss any more: ${share(doubled, sent)}, ${lost} lost`,
  );
  await impair({ out: { corrupt: 0.2 } });
  const damaged = await stream();
  // A damaged datagram is dropped for its checksum.
  say(near(damaged.lost / damaged.sent, 0.2, 0.05), `damage of 20 %: ${share(damaged.lost, damaged.sent)} not whole`);
  await impair({ out: { delayMs: 20, reorder: 0.2 } });
  const early = await stream();
  say(
    near(early.overtaking / early.sent, 0.2, 0.08),
    `20 % out of order: ${share(early.overtaking, early.sent)} came before others`,
  );

  {
    await using _ = await serve(dbEnd);
    for (const delayMs of [10, 0]) {
      await impair({ in: { rateKbit: 8000, delayMs } });
      const mbit = await throughputMbit(webEnd, '10.213.0.11');
      say(mbit > 6 && mbit < 9, `a rate of 8 Mbit/s with ${delayMs} ms: ${mbit.toFixed(1)} Mbit/s`);
    }
  }

  await impair({ out: { loss: 1 }, in: { delayMs: 5 }, untilMs: Date.now() + 20_000 });
  const begun = await netems();
  say(
    begun.length === 2,
    `begun for a time: ${begun.map((line) => line.replace(/ root.*(loss|delay)/, '... $1')).join(' and ')}`,
  );
  const deadline = Date.now() + 60_000;
  while ((await netems()).length > 0 && Date.now() < deadline) await sleep(200);
  say((await netems()).length === 0, 'it ended with no daemon there');
  const after = await ping();
  say(
    after.lost === 0 && near(after.medianMs, base.medianMs, 4),
    `nothing is left of it: ${after.medianMs.toFixed(2)} ms`,
  );
  await during((datapath) => datapath.retire());
  for (const netns of [webEnd, dbEnd]) await ip('netns', 'delete', netns);
}

async function netems(): Promise<string[]> {
  const { stdout: names } = await run(['ip', '-j', 'netns', 'list']);
  const found: string[] = [];
  for (const { name } of JSON.parse(names) as Array<{ name: string }>) {
    if (!name.startsWith('skerry-')) continue;
    const { stdout } = await run(['tc', '-n', name, 'qdisc', 'show']);
    found.push(...stdout.split('\n').filter((line) => line.startsWith('qdisc netem')));
  }
  return found;
}

async function vlans(): Promise<void> {
  const sync = (network: PlannedNetwork, vms: readonly PlannedVm[]): Promise<void> =>
    during((datapath) => datapath.sync([network], vms));
  const vms = (c: number): PlannedVm[] => [
    vmOf('a', [nicOf(3, 10, { vlan: 10 })]),
    vmOf('b', [nicOf(3, 11, { vlan: 10 })]),
    vmOf('c', [nicOf(3, 12, { vlan: c })]),
    vmOf('plain', [nicOf(3, 13)]),
    vmOf('one', [nicOf(3, 14, { vlan: 1 })]),
    vmOf('trunk', [nicOf(3, 15, { trunk: [{ from: 10, to: 20 }] })]),
    vmOf('plain2', [nicOf(3, 16)]),
    vmOf('gate', [nicOf(3, 17, { trunk: [{ from: 10, to: 20 }] })], { role: 'router' }),
  ];
  for (const vm of vms(20)) await endOf(vm);
  // This VM itself is on the first subnet.
  const network = networkOf(3, 'host-only');
  await sync(network, vms(20));
  const { stdout } = await run(['ip', '-j', '-d', 'link', 'show', 'type', 'bridge']);
  const bridges = (JSON.parse(stdout) as BridgeLink[]).filter(({ ifname }) => ifname.startsWith(`sk${INSTANCE}`));
  const isFiltering = bridges[0]?.linkinfo.info_data.vlan_filtering === 1;
  say(bridges.length === 1 && isFiltering, `8 NICs in 4 VLANs: ${bridges.length} bridge, which filters`);

  const reach = async (from: string, last: number, is: boolean, what: string): Promise<void> => {
    const isReached = (await pinged(`end-${from}`, `10.213.3.${last}`, 3)).lost < 3;
    say(isReached === is, `${what}: ${isReached ? 'reached' : 'not reached'}`);
  };
  /** The end has its address behind a tag, and nowhere else; 0: as it was. */
  const tag = async (name: string, vlan: number, last: number): Promise<void> => {
    const inside = ['-n', `end-${name}`];
    await run(['ip', ...inside, 'link', 'del', 'tagged'], { okExitCodes: 'any' });
    await ip(...inside, 'address', 'flush', 'dev', 'eth0');
    if (vlan > 0) await ip(...inside, 'link', 'add', 'link', 'eth0', 'name', 'tagged', 'type', 'vlan', 'id', `${vlan}`);
    const dev = vlan > 0 ? 'tagged' : 'eth0';
    await ip(...inside, 'address', 'add', `10.213.3.${last}/24`, 'dev', dev);
    await ip(...inside, 'link', 'set', dev, 'up');
  };
  /** Both ends have their address behind a tag of their own, which the trunk's has one more before. */
  const twice = async (outer: number, inner: number): Promise<void> => {
    for (const [name, last, below] of [
      ['trunk', 15, 'tagged'],
      ['a', 10, 'eth0'],
    ] as const) {
      if (name === 'trunk') await tag(name, outer, 97);
      const inside = ['-n', `end-${name}`];
      await ip(...inside, 'link', 'add', 'link', below, 'name', 'inner', 'type', 'vlan', 'id', `${inner}`);
      await ip(...inside, 'address', 'flush', 'dev', below);
      await ip(...inside, 'address', 'add', `10.213.3.${last}/24`, 'dev', 'inner');
      await ip(...inside, 'link', 'set', 'inner', 'up');
    }
  };
  await reach('a', 11, true, 'VLAN 10 from VLAN 10');
  await reach('a', 12, false, 'VLAN 20 from VLAN 10');
  await reach('a', 13, false, 'no VLAN from VLAN 10');
  await reach('a', 1, false, 'the gateway from VLAN 10');
  await reach('plain', 16, true, 'no VLAN from no VLAN');
  await reach('plain', 1, true, 'the gateway from no VLAN');
  await reach('plain', 14, false, 'VLAN 1, a VLAN like others, from no VLAN');
  await reach('trunk', 13, false, 'no VLAN from a trunk, without a tag');
  await tag('trunk', 10, 15);
  await reach('trunk', 10, true, 'VLAN 10 from a trunk of 10-20, with that tag');
  await reach('trunk', 12, false, 'VLAN 20 from a trunk, with the tag of 10');
  await tag('trunk', 10, 99);
  await reach('trunk', 10, false, 'VLAN 10 from a trunk, with an address that is not its own');
  for (const [end, last, of] of [
    ['trunk', 10, 'a'],
    ['a', 99, 'trunk'],
  ] as const) {
    const { mac = '' } = vms(20).find(({ name }) => name === of)?.nics[0] ?? {};
    const dev = end === 'trunk' ? 'tagged' : 'eth0';
    await ip('-n', `end-${end}`, 'neigh', 'replace', `10.213.3.${last}`, 'lladdr', mac, 'dev', dev);
  }
  await reach('trunk', 10, false, 'the same, where nobody has to ask for MACs');
  await tag('gate', 10, 98);
  await reach('gate', 10, true, 'VLAN 10 from a trunk of a router, with an address that its NIC was not given');
  await twice(10, 20);
  await reach('trunk', 10, false, 'VLAN 10 from a trunk, with one more tag inside');
  await ip('-n', 'end-a', 'link', 'del', 'inner');
  await ip('-n', 'end-a', 'address', 'add', '10.213.3.10/24', 'dev', 'eth0');
  await tag('trunk', 20, 15);
  await reach('trunk', 12, true, 'VLAN 20 from a trunk, with that tag');
  await tag('trunk', 30, 15);
  await reach('trunk', 10, false, 'VLAN 10 from a trunk, with the tag of 30');
  await tag('c', 10, 12);
  await reach('c', 10, false, 'VLAN 10 from VLAN 20, with the tag of 10 (hopping)');
  await tag('c', 0, 12);
  await sync(network, vms(10));
  await reach('c', 10, true, 'VLAN 10 from a NIC that was moved there');

  const withAcl = {
    ...network,
    acl: { default: 'allow' as const, rules: [{ id: 1, action: 'deny' as const, from: 'a', to: 'b' }] },
  };
  await sync(withAcl, vms(10));
  await reach('a', 11, false, 'with an access list: b from a, which it denies');
  await reach('a', 12, true, 'with an access list: c from a, which it lets');
  await reach('plain', 16, true, 'with an access list: no VLAN from no VLAN');
  await reach('a', 13, false, 'with an access list: no VLAN from VLAN 10');
  await sync(network, vms(10));
  await reach('a', 11, true, 'without it: b from a');
  await during((datapath) => datapath.retire());
  const links = (await ip('-o', 'link')).split('\n').filter((line) => line.includes(` sk${INSTANCE}b`));
  say(links.length === 0, 'nothing is left of it');
}

interface BridgeLink {
  readonly ifname: string;
  readonly linkinfo: { readonly info_data: { readonly vlan_filtering: number } };
}

interface Pinged {
  readonly lost: number;
  readonly minMs: number;
  readonly medianMs: number;
  readonly maxMs: number;
}

/** Answered by the kernel of the other end. */
async function pinged(netns: string, address: string, count = 20): Promise<Pinged> {
  const ping = ['ping', '-c', `${count}`, '-i', '0.2', '-W', '1', address];
  const { stdout } = await run(['ip', 'netns', 'exec', netns, ...ping], { okExitCodes: 'any', timeoutMs: 60_000 });
  const times = [...stdout.matchAll(/time=([\d.]+)/g)].map(([, ms]) => Number(ms)).sort((a, b) => a - b);
  const at = (place: number): number => times[Math.floor(place * (times.length - 1))] ?? Number.NaN;
  return { lost: count - times.length, minMs: at(0), medianMs: at(0.5), maxMs: at(1) };
}
