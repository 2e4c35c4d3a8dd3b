import { setTimeout as sleep } from 'node:timers/promises';
import type { ExplainCause } from '@skerry/api';
import type { TestHost } from '@skerry/testkit';

/**
 * Real VMs for `explain`: a and b on the network left, c on the network right, and the router r between the two. All but
 * the router have a web server.
 */

export const PORT = 80;
const EXEC_TIMEOUT_MS = 8000;
const SETTLE_MS = 20_000;

const ADDRESSES: Readonly<Record<string, readonly string[]>> = {
  a: ['10.71.1.50'],
  b: ['10.71.1.51'],
  r: ['10.71.1.60', '10.71.2.60'],
  c: ['10.71.2.50'],
};

/** From the first VM to the last, and the NICs by which it leaves one and comes to the next. */
export interface Way {
  readonly vms: readonly string[];
  readonly out: readonly number[];
  readonly into: readonly number[];
  readonly ipv6: boolean;
}

const WAYS: readonly Way[] = [
  { vms: ['a', 'b'], out: [0], into: [0], ipv6: false },
  { vms: ['b', 'a'], out: [0], into: [0], ipv6: true },
  { vms: ['a', 'r', 'c'], out: [0, 1], into: [0, 0], ipv6: false },
  { vms: ['c', 'r', 'b'], out: [0, 0], into: [1, 0], ipv6: false },
];

/** All of them by hand: what the file of a node declares is not to be changed. */
const MADE = (datapath: string): string[] => [
  `network create left --subnet 10.71.1.0/24 --ipv6 fd00:71::/64 --datapath ${datapath}`,
  `network create right --mode isolated --subnet 10.71.2.0/24 --datapath ${datapath}`,
  'create r micro --memory 64Mi --role router --network left',
  ...['a', 'b', 'c'].map(
    (vm) =>
      `create ${vm} micro --memory 64Mi --network ${vm === 'c' ? 'right' : 'left'} -- sh -c 'httpd -p ${PORT}; exec tail -f /dev/null'`,
  ),
  ...Object.entries(ADDRESSES).map(([vm, [address = '']]) => `nic set ${vm} eth0 --ip ${address}`),
  `nic add r --network right --ip ${ADDRESSES['r']![1]!}`,
  'network route add left 10.71.2.0/24 --via r',
  'network route add right 10.71.1.0/24 --via r',
  'start a b c r',
];

export class ExplainWorld {
  readonly host: TestHost;
  readonly datapath: 'user' | 'kernel';

  private constructor(host: TestHost, datapath: 'user' | 'kernel') {
    this.host = host;
    this.datapath = datapath;
  }

  static async make(host: TestHost, datapath: 'user' | 'kernel'): Promise<ExplainWorld> {
    const world = new ExplainWorld(host, datapath);
    for (const line of MADE(datapath)) await world.said(line);
    return world;
  }

  wayOf(pick: (below: number) => number): Way {
    return WAYS[pick(WAYS.length)]!;
  }

  /** What a VM's NIC has by IPv4, or by IPv6 where the way goes by that. */
  async addressOf(vm: string, nic: number, ipv6 = false): Promise<string> {
    if (!ipv6) return ADDRESSES[vm]![nic]!;
    const { status } = await this.host.client.call('vm.get', { params: { vm: vm } });
    return status.nics[nic]!.address6!;
  }

  /** Of the last of the way. */
  targetOf({ vms, into, ipv6 }: Way): Promise<string> {
    return this.addressOf(vms.at(-1)!, into.at(-1)!, ipv6);
  }

  networkOf(vm: string, nic: number): string {
    return vm === 'c' || nic === 1 ? 'right' : 'left';
  }

  /** A command line of the product. @throws with what it says when it fails */
  async said(line: string): Promise<string> {
    const { exitCode, stdout, stderr } = await this.host.cli(words(line));
    if (exitCode !== 0) throw new Error(`skerry ${line}: ${stderr}`);
    return stdout;
  }

  /** In a guest, by its shell. @returns whether it went well */
  async does(vm: string, command: string): Promise<boolean> {
    const signal = AbortSignal.timeout(EXEC_TIMEOUT_MS);
    return this.host.client.exec(vm, command, { signal }).then(
      ({ exitCode }) => exitCode === 0,
      () => false,
    );
  }

  async connects(way: Way): Promise<boolean> {
    return this.does(way.vms[0]!, `echo | nc -w 2 ${await this.targetOf(way)} ${PORT}`);
  }

  async explains({
    vms,
    ipv6,
  }: Way): Promise<{ readonly reachable: string; readonly cause?: ExplainCause | undefined }> {
    const body = { from: vms[0]!, to: vms.at(-1)!, port: PORT, ipv6 };
    return this.host.client.call('network.explain', { body });
  }

  /** @returns whether both of them come to it: what is told, and what is so */
  async isOpen(way: Way): Promise<boolean> {
    const deadline = performance.now() + SETTLE_MS;
    for (;;) {
      if ((await this.explains(way)).reachable === 'yes' && (await this.connects(way))) return true;
      if (performance.now() > deadline) return false;
      await sleep(200);
    }
  }
}

/** As a shell takes them apart, where nothing but quotes has a meaning. */
export function words(line: string): string[] {
  return [...line.matchAll(/'(?<quoted>[^']*)'|(?<plain>\S+)/g)].map(
    ({ groups }) => groups?.['quoted'] ?? groups?.['plain'] ?? '',
  );
}
