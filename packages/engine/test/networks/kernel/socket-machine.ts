import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** A NIC as QEMU's `-netdev stream,server=on` has it behind the device: a socket where somebody comes to carry its frames. */
export class SocketMachine implements AsyncDisposable {
  readonly path: string;
  /** All that it has got. */
  readonly frames: Buffer[] = [];
  readonly #server: Server;
  #peer: Socket | undefined;

  static async listen(): Promise<SocketMachine> {
    const server = createServer();
    const machine = new SocketMachine(join(await mkdtemp(join(tmpdir(), 'skm-')), 'nic0'), server);
    server.listen(machine.path);
    await once(server, 'listening');
    return machine;
  }

  private constructor(path: string, server: Server) {
    this.path = path;
    this.#server = server;
    server.on('connection', (socket) => this.#serve(socket));
  }

  get isConnected(): boolean {
    return this.#peer !== undefined;
  }

  send(...frames: readonly Buffer[]): void {
    const lengths = frames.map(({ length }) => Buffer.from([0, 0, length >> 8, length & 0xff]));
    this.#peer?.write(Buffer.concat(frames.flatMap((frame, n) => [lengths[n]!, frame])));
  }

  /** @returns those that are `wanted`, as soon as there are as many, or after that time */
  async receives(wanted: (frame: Buffer) => boolean, count: number, withinMs: number): Promise<Buffer[]> {
    for (const until = performance.now() + withinMs; ; await sleep(10)) {
      const found = this.frames.filter(wanted);
      if (found.length >= count || performance.now() > until) return found;
    }
  }

  /** As a machine that ends. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#peer?.destroy();
    if (this.#server.listening) {
      this.#server.close();
      await once(this.#server, 'close');
    }
    await rm(join(this.path, '..'), { recursive: true, force: true });
  }

  #serve(socket: Socket): void {
    this.#peer = socket;
    let rest = Buffer.alloc(0);
    socket.on('error', () => undefined);
    socket.on('close', () => (this.#peer = undefined));
    socket.on('data', (data: Buffer) => {
      rest = Buffer.concat([rest, data]);
      while (rest.length >= 4 && rest.length >= 4 + rest.readUInt32BE(0)) {
        const end = 4 + rest.readUInt32BE(0);
        this.frames.push(rest.subarray(4, end));
        rest = rest.subarray(end);
      }
    });
  }
}

interface Station {
  readonly mac: string;
  readonly address: string;
}

const macBytes = (mac: string): Buffer => Buffer.from(mac.replaceAll(':', ''), 'hex');
const addressBytes = (address: string): Buffer => Buffer.from(address.split('.').map(Number));

/** Who has that address (RFC 826). */
export function arpRequest(from: Station, target: string): Buffer {
  return Buffer.concat([
    Buffer.alloc(6, 0xff),
    macBytes(from.mac),
    Buffer.from('08060001080006040001', 'hex'),
    macBytes(from.mac),
    addressBytes(from.address),
    Buffer.alloc(6),
    addressBytes(target),
  ]);
}

/** The answer's sender: its MAC. */
export function arpAnswer(frame: Buffer): string | undefined {
  if (frame.readUInt16BE(12) !== 0x0806 || frame.readUInt16BE(20) !== 2) return undefined;
  return [...frame.subarray(22, 28)].map((byte) => byte.toString(16).padStart(2, '0')).join(':');
}

/** Asks for the same bytes back (RFC 792). */
export function echoRequest(from: Station, to: Station, sequence: number, payload: Buffer): Buffer {
  const icmp = Buffer.concat([Buffer.from([8, 0, 0, 0, 0, 1, sequence >> 8, sequence & 0xff]), payload]);
  icmp.writeUInt16BE(checksum(icmp), 2);
  const ip = Buffer.concat([
    Buffer.from([0x45, 0, 0, 0, 0, 0, 0, 0, 64, 1, 0, 0]),
    addressBytes(from.address),
    addressBytes(to.address),
  ]);
  ip.writeUInt16BE(ip.length + icmp.length, 2);
  ip.writeUInt16BE(checksum(ip), 10);
  return Buffer.concat([macBytes(to.mac), macBytes(from.mac), Buffer.from([8, 0]), ip, icmp]);
}

/** Of an answer to that: what came back. */
export function echoed(frame: Buffer): Buffer | undefined {
  return frame.readUInt16BE(12) === 0x0800 && frame[23] === 1 && frame[34] === 0 ? frame.subarray(42) : undefined;
}

function checksum(bytes: Buffer): number {
  let sum = 0;
  for (let at = 0; at < bytes.length; at += 2) sum += (bytes[at]! << 8) | (bytes[at + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}
