import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, rm, stat } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { SkerryError, type CaptureInfo, type CaptureStart, type Network, type Vm } from '@skerry/api';
import { followCapture, readCapture } from '@skerry/switch';
import { captureName, type CapturePort, type RunningCapture } from './capture-port.ts';
import { assertWire } from './link-plan.ts';
import type { NetworkVerbs } from './network-verbs.ts';

/** What passes at NICs, kept by their datapath in files beside the VM's disk, or sent on as it comes. */

export interface CapturePorts {
  readonly vms: () => Promise<readonly Vm[]>;
  readonly verbs: Pick<NetworkVerbs, 'byName'>;
  readonly captures: Readonly<Record<'user' | 'kernel', CapturePort>>;
  /** Where nobody else may connect: for sockets of readers. */
  readonly socketDir: string;
  readonly dirs: (vmId: string) => { readonly dir: string };
}

const CONNECT_TIMEOUT_MS = 5000;

export class CaptureService {
  readonly #ports: CapturePorts;

  /** Connections of those who follow a NIC, by whose it is. */
  readonly #readers = new Map<Socket, string>();

  constructor(ports: CapturePorts) {
    this.#ports = ports;
  }

  /** Those that run, and those that have ended and are kept. */
  async list(): Promise<CaptureInfo[]> {
    const running = await this.#running();
    const all = (await this.#ports.vms()).flatMap((vm) =>
      vm.status.nics.map((nic, place) => this.#info(vm, nic.index ?? place, running)),
    );
    return (await Promise.all(all)).filter((info) => info !== undefined);
  }

  /**
   * From now on; what an earlier one of this NIC has kept is gone.
   * @throws SkerryError `not-found` (NIC), `wrong-state` (its VM is at rest), `in-use` (it runs already), `failed`
   */
  async start(vm: Vm, index: number, { ringBytes }: CaptureStart): Promise<CaptureInfo> {
    const network = await this.#assertPlugged(vm, index);
    const name = nameOf(vm, index);
    const running = (await this.#running()).get(name);
    if (running !== undefined && running.error === undefined) {
      throw new SkerryError('in-use', `What passes at ${vm.name}:eth${index} is captured already`, {
        remedy: `Read it (\`skerry capture read ${vm.name}:eth${index} --to -\`), or stop it first.`,
      });
    }
    const path = this.#pathOf(vm, index);
    // One that failed stays in the switch's list until it is stopped.
    if (running !== undefined) await this.#end({ vmId: vm.id, index });
    await mkdir(join(path, '..'), { recursive: true, mode: 0o700 });
    for (const file of generations(path)) await rm(file, { force: true });
    const nic = { vmId: vm.id, index, network };
    await this.#ports.captures[network.status.datapath].start(nic, { path, ringBytes });
    return (await this.#info(vm, index, await this.#running())) as CaptureInfo;
  }

  /** What it kept stays. @throws SkerryError `not-found`: there is none */
  async stop(vm: Vm, index: number): Promise<CaptureInfo> {
    await this.#end({ vmId: vm.id, index });
    const info = await this.#info(vm, index, new Map());
    if (info === undefined) throw noCapture(vm, index);
    return info;
  }

  /** What is kept, as one pcap stream. @throws SkerryError `not-found`: there is none */
  async read(vm: Vm, index: number): Promise<Readable> {
    const path = this.#pathOf(vm, index);
    if ((await this.#info(vm, index, new Map())) === undefined) throw noCapture(vm, index);
    return Readable.from(readCapture(path), { objectMode: false });
  }

  /**
   * What a capture that runs has kept and then gets, until it ends; without one what passes from now on, until the NIC's machine
   * ends. One pcap stream, until it is destroyed. What the reader is too slow for is left out, never held back from the guest.
   * @throws SkerryError as `start`
   */
  async follow(vm: Vm, index: number): Promise<Readable> {
    const running = (await this.#running()).get(nameOf(vm, index));
    if (running !== undefined && running.error === undefined) return streamOf(this.#pathOf(vm, index));
    return await this.#followPort(vm, index);
  }

  async #followPort(vm: Vm, index: number): Promise<Readable> {
    const network = await this.#assertPlugged(vm, index);
    const id = randomUUID().slice(0, 8);
    const { socketDir, captures } = this.#ports;
    await mkdir(socketDir, { recursive: true, mode: 0o700 });
    const socketPath = join(socketDir, `capture-${id}`);
    const server = createServer({ allowHalfOpen: false });
    try {
      server.listen(socketPath);
      await once(server, 'listening');
      const connected = connectionOf(server);
      connected.catch(() => undefined);
      const name = `${nameOf(vm, index)} ${id}`;
      const nic = { vmId: vm.id, index, network };
      await captures[network.status.datapath].start(nic, { socketPath, name });
      const socket = await connected;
      this.#readers.set(socket, captureName(nic));
      return socket.once('close', () => this.#readers.delete(socket));
    } finally {
      // The connection goes on without the place where it was made.
      server.close();
      await rm(socketPath, { force: true });
    }
  }

  async #running(): Promise<Map<string, RunningCapture>> {
    const { user, kernel } = this.#ports.captures;
    const [some, others] = await Promise.all([user.running(), kernel.running()]);
    return new Map([...some, ...others]);
  }

  /** If there is one. Whoever does it: a NIC may have been plugged in somewhere else since. */
  async #end(nic: { readonly vmId: string; readonly index: number }): Promise<void> {
    const name = captureName(nic);
    for (const port of Object.values(this.#ports.captures)) if ((await port.running()).has(name)) await port.stop(nic);
  }

  /** Of a NIC that goes: whoever reads what passes there has come to the end as well. */
  async leave(nic: { readonly vmId: string; readonly index: number }): Promise<void> {
    await this.#end(nic);
    // Whoever copies for it hangs up then.
    for (const [socket, name] of this.#readers) if (name === captureName(nic)) socket.end();
  }

  async #info(vm: Vm, index: number, all: ReadonlyMap<string, RunningCapture>): Promise<CaptureInfo | undefined> {
    const running = all.get(nameOf(vm, index));
    const [of, state] = [
      { vm: vm.name, nic: `eth${index}` },
      running?.error === undefined ? 'running' : 'ended',
    ] as const;
    if (running !== undefined) {
      const { keptBytes, ringBytes, startedAtMs, frames, bytes, drops, error } = running;
      return {
        ...of,
        state,
        keptBytes,
        ...(ringBytes === undefined ? {} : { ringBytes }),
        startedAt: new Date(startedAtMs).toISOString(),
        frames,
        bytes,
        drops,
        ...(error === undefined ? {} : { message: error }),
      };
    }
    const sizes = await Promise.all(generations(this.#pathOf(vm, index)).map(sizeOf));
    if (sizes[0] === undefined) return undefined;
    return { ...of, state: 'ended', keptBytes: sizes[0] + (sizes[1] ?? 0) };
  }

  /** @returns the network that it is on @throws SkerryError `not-found`, `wrong-state` */
  async #assertPlugged(vm: Vm, index: number): Promise<Network> {
    const nic = vm.status.nics.find((each, place) => (each.index ?? place) === index);
    if (nic === undefined) {
      throw new SkerryError('not-found', `${vm.name} has no eth${index}`, {
        remedy: `See \`skerry nic list ${vm.name}\`.`,
      });
    }
    const network = await this.#ports.verbs.byName(nic.network);
    if (vm.status.state === 'running' || vm.status.state === 'paused') {
      assertWire(network, await this.#ports.vms());
      return network;
    }
    throw new SkerryError('wrong-state', `${vm.name} is ${vm.status.state}: nothing passes at its NICs`, {
      remedy: `Start it: \`skerry start ${vm.name}\`.`,
    });
  }

  #pathOf({ id }: Vm, index: number): string {
    return join(this.#ports.dirs(id).dir, 'captures', `eth${index}.pcap`);
  }
}

function nameOf({ id }: Vm, index: number): string {
  return captureName({ vmId: id, index });
}

/** The newer one first: without it there is none. */
function generations(path: string): [string, string] {
  return [path, `${path}.1`];
}

function streamOf(path: string): Readable {
  const isGone = new AbortController();
  const frames = Readable.from(followCapture(path, isGone.signal), { objectMode: false });
  return frames.once('close', () => isGone.abort());
}

async function sizeOf(path: string): Promise<number | undefined> {
  return stat(path).then(
    ({ size }) => size,
    () => undefined,
  );
}

async function connectionOf(server: Server): Promise<Socket> {
  const late = new AbortController();
  const timeout = sleep(CONNECT_TIMEOUT_MS, undefined, { signal: late.signal }).then(() => {
    throw new SkerryError('timeout', 'The capture did not connect', { remedy: 'Try again.' });
  });
  timeout.catch(() => undefined);
  const [socket] = (await Promise.race([once(server, 'connection'), timeout]).finally(() => late.abort())) as [Socket];
  return socket;
}

function noCapture({ name }: Vm, index: number): SkerryError {
  return new SkerryError('not-found', `Nothing was captured at ${name}:eth${index}`, {
    remedy: `Start it: \`skerry capture start ${name}:eth${index}\`; or read what passes from now on, with --follow.`,
  });
}
