import { spawn, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface, type Interface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { run } from '../../../src/hosts/index.ts';
import { tagOf, tapName, type KernelSupport } from '../../../src/networks/kernel/index.ts';
import type { PlannedVm } from '../../../src/networks/index.ts';
import type { Order } from './datapath-host.ts';

/** Hosts made of network namespaces, and guests that are one each: their tap is the end of a veth pair, so none has to boot. */

export const SUPPORT: KernelSupport = {
  lack: undefined,
  vlanFiltering: false,
  vxlan: true,
  tbf: true,
  netem: false,
  netemSeed: false,
  ifb: true,
  vhost: false,
  bridgeFilters: true,
};

export class FakeHosts implements AsyncDisposable {
  readonly #id = randomBytes(2).toString('hex');
  readonly #namespaces: string[] = [];
  readonly #hosts: Host[] = [];
  #started = 0;

  /** @param netns absent: a machine of its own; else another daemon on one that is there */
  async host(netns?: string): Promise<Host> {
    const number = this.#started++;
    const host = await Host.start(netns ?? (await this.#namespace(`h${number}`)), `${this.#id.slice(0, 3)}${number}`);
    this.#hosts.push(host);
    return host;
  }

  /** Joins two hosts by a wire. @param addresses6 no one else has them, so nobody is asked */
  async join(
    a: Host,
    b: Host,
    addresses: readonly [string, string],
    addresses6?: readonly [string, string],
  ): Promise<void> {
    await ip('link', 'add', 'up0', 'netns', a.netns, 'type', 'veth', 'peer', 'name', 'up0', 'netns', b.netns);
    for (const [index, host] of [a, b].entries()) {
      await ip('-n', host.netns, 'address', 'add', `${addresses[index]}/24`, 'dev', 'up0');
      if (addresses6 !== undefined) {
        await ip('-n', host.netns, 'address', 'add', `${addresses6[index]}/64`, 'dev', 'up0', 'nodad');
      }
      await ip('-n', host.netns, 'link', 'set', 'up0', 'up');
    }
  }

  /** @returns its namespace */
  async guest(host: Host, vm: PlannedVm, mtu = 1500): Promise<string> {
    const netns = await this.#namespace(`g${this.#namespaces.length}`);
    for (const [index, nic] of vm.nics.entries()) {
      const [tap, eth] = [tapName(tagOf(host.instance), vm.id, index), `eth${index}`];
      await ip('-n', host.netns, 'link', 'add', tap, 'type', 'veth', 'peer', 'name', eth, 'netns', netns);
      await ip('-n', netns, 'link', 'set', eth, 'address', nic.mac, 'mtu', `${mtu}`, 'up');
      await ip('-n', netns, 'address', 'add', `${nic.address}/24`, 'dev', eth);
    }
    return netns;
  }

  /** Many that nobody looks into: all in one namespace. */
  async guests(host: Host, vms: readonly PlannedVm[]): Promise<void> {
    const netns = await this.#namespace(`g${this.#namespaces.length}`);
    const lines = vms.flatMap((vm, n) =>
      vm.nics.map(
        (_, index) =>
          `link add ${tapName(tagOf(host.instance), vm.id, index)} type veth peer name e${n}x${index} netns ${netns}`,
      ),
    );
    await run(['ip', '-n', host.netns, '-batch', '-'], { input: lines.join('\n') });
  }

  /** Another network of the host's, at its interface NAME: 192.0.N.0/24 and fd09:N::/64, the host is .1, and its one machine .2. @returns its namespace */
  async neighbour(host: Host, name: string, n: number): Promise<string> {
    const netns = await this.#namespace(`n${this.#namespaces.length}`);
    await ip('-n', host.netns, 'link', 'add', name, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', netns);
    for (const [where, device, last] of [
      [host.netns, name, 1],
      [netns, 'eth0', 2],
    ] as const) {
      await ip('-n', where, 'address', 'add', `192.0.${n}.${last}/24`, 'dev', device);
      await ip('-n', where, 'address', 'add', `fd09:${n}::${last}/64`, 'dev', device, 'nodad');
      await ip('-n', where, 'link', 'set', device, 'up');
    }
    for (const via of [`192.0.${n}.1`, `fd09:${n}::1`]) await ip('-n', netns, 'route', 'add', 'default', 'via', via);
    return netns;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const host of this.#hosts) await host.end();
    for (const netns of this.#namespaces) await run(['ip', 'netns', 'delete', netns], { okExitCodes: 'any' });
  }

  async #namespace(name: string): Promise<string> {
    const netns = `skd${this.#id}${name}`;
    await ip('netns', 'add', netns);
    this.#namespaces.push(netns);
    await ip('-n', netns, 'link', 'set', 'lo', 'up');
    return netns;
  }
}

export class Host {
  readonly netns: string;
  readonly instance: string;
  readonly #child: ChildProcess;
  readonly #runtimeDir: string;
  readonly #answers: Interface;

  static async start(netns: string, instance: string): Promise<Host> {
    const runtimeDir = await mkdtemp(join(tmpdir(), 'skd-'));
    const program = fileURLToPath(new URL('datapath-host.ts', import.meta.url));
    const args = ['--conditions=source', program, runtimeDir, instance, JSON.stringify(SUPPORT)];
    const child = spawn('nsenter', [`--net=/run/netns/${netns}`, process.execPath, ...args], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    return new Host(netns, instance, child, runtimeDir);
  }

  private constructor(netns: string, instance: string, child: ChildProcess, runtimeDir: string) {
    this.netns = netns;
    this.instance = instance;
    this.#child = child;
    this.#runtimeDir = runtimeDir;
    this.#answers = createInterface({ input: child.stdout! });
  }

  /** @returns how long it took, in milliseconds */
  async sync(order: Order): Promise<number> {
    this.#child.stdin!.write(`${JSON.stringify(order)}\n`);
    const [line] = (await once(this.#answers, 'line')) as [string];
    const { ms, error } = JSON.parse(line) as { ms?: number; error?: string };
    if (ms === undefined) throw new Error(error);
    return ms;
  }

  /** What is left of it afterwards: interfaces, rules, namespaces. */
  async end(): Promise<string[]> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      const ended = once(this.#child, 'exit');
      this.#child.stdin!.end();
      await ended;
    }
    await rm(this.#runtimeDir, { recursive: true, force: true });
    const links = await run(['ip', '-n', this.netns, '-j', 'link'], { okExitCodes: 'any' });
    const rules = await run(['ip', 'netns', 'exec', this.netns, 'nft', 'list', 'ruleset'], { okExitCodes: 'any' });
    const names = (JSON.parse(links.stdout || '[]') as Array<{ ifname: string }>).map(({ ifname }) => ifname);
    const netns = await run(['ip', 'netns', 'list']);
    return [
      ...names.filter((name) => /^sk....[bix]/.test(name)),
      ...rules.stdout.split('\n').filter((line) => line.startsWith('table')),
      ...netns.stdout.split('\n').filter((line) => line.startsWith(`skerry-${this.instance}-`)),
    ];
  }
}

export async function ip(...args: string[]): Promise<string> {
  return (await run(['ip', ...args])).stdout;
}

const SERVER = `
const server = require('node:net').createServer((socket) => {
  socket.on('error', () => {});
  socket.once('data', (data) => {
    if (data.toString() !== 'send') return socket.end('hello');
    const chunk = Buffer.alloc(65536);
    const more = () => { while (!socket.destroyed && socket.write(chunk)); };
    socket.on('drain', more);
    more();
  });
});
server.listen(7000, '::', () => console.log('ready'));
`;

/** Answers at port 7000 with a greeting, or with as many bytes as it can. */
export async function serve(netns: string): Promise<AsyncDisposable> {
  const child = spawn('nsenter', [`--net=/run/netns/${netns}`, process.execPath, '-e', SERVER], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(child.stdout, 'data');
  return {
    async [Symbol.asyncDispose]() {
      const ended = once(child, 'exit');
      child.kill();
      await ended;
    },
  };
}

/** @returns what was received within that time: bytes a millisecond, or the greeting */
async function call(netns: string, address: string, asked: string, forMs: number): Promise<string> {
  const program = `
const socket = require('node:net').connect(7000, '${address}', () => socket.write('${asked}'));
let bytes = 0, first, text = '';
socket.on('error', () => {});
socket.on('data', (data) => { first ??= performance.now(); bytes += data.length; if (data.length < 10) text += data; });
setTimeout(() => { console.log(text || String(Math.round(bytes / (performance.now() - first)) || 0)); process.exit(0); }, ${forMs});
socket.on('close', () => { if (text) { console.log(text); process.exit(0); } });
`;
  return (await run(['nsenter', `--net=/run/netns/${netns}`, process.execPath, '-e', program])).stdout.trim();
}

/** @param forMs a second handshake is tried after one second */
export async function reaches(netns: string, address: string, forMs = 2500): Promise<boolean> {
  return (await call(netns, address, 'hi', forMs)) === 'hello';
}

/** In Mbit/s, over a second. */
export async function throughputMbit(netns: string, address: string): Promise<number> {
  return (Number(await call(netns, address, 'send', 1500)) * 8) / 1000;
}
