import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/** A guest's network card and just enough of TCP, made apart from the switch's code so that it can judge it. */

export const SYN = 2;
export const ACK = 16;

export interface Station {
  readonly mac: string;
  readonly address: string;
}

/** Frames on QEMU's stream socket: u32 big endian length, then the frame. */
export class FrameStream {
  readonly #socket: Socket;
  #frames: Buffer[] = [];
  #rest: Buffer = Buffer.alloc(0);

  /** @param answer what to say at once to a frame, if anything */
  constructor(socket: Socket, answer: (frame: Buffer) => Buffer | undefined = () => undefined) {
    this.#socket = socket;
    socket.on('error', () => {});
    socket.on('data', (chunk: Buffer) => {
      this.#rest = Buffer.concat([this.#rest, chunk]);
      while (this.#rest.length >= 4 && this.#rest.length >= 4 + this.#rest.readUInt32BE(0)) {
        const end = 4 + this.#rest.readUInt32BE(0);
        const frame = this.#rest.subarray(4, end);
        this.#rest = this.#rest.subarray(end);
        const reply = answer(frame);
        if (reply === undefined) this.#frames.push(frame);
        else this.send(reply);
      }
    });
  }

  send(frame: Buffer): void {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(frame.length);
    this.#socket.write(Buffer.concat([length, frame]));
  }

  /** The first frame that fits, or undefined when none comes in time. */
  async receive(fits: (frame: Buffer) => boolean, timeoutMs: number): Promise<Buffer | undefined> {
    for (const end = Date.now() + timeoutMs; Date.now() < end; await sleep(5)) {
      const index = this.#frames.findIndex(fits);
      if (index >= 0) return this.#frames.splice(0, index + 1).at(-1);
    }
    return undefined;
  }
}

export interface TcpOptions {
  readonly from: number;
  readonly to: number;
  readonly flags: number;
  readonly sequence: number;
  readonly acknowledge?: number;
}

/** An Ethernet frame with a TCP segment without data (RFC 9293 section 3.1), in IPv4 or IPv6. */
export function tcpFrame(source: Station, destination: Station, options: TcpOptions): Buffer {
  const tcp = Buffer.alloc(20);
  tcp.writeUInt16BE(options.from, 0);
  tcp.writeUInt16BE(options.to, 2);
  tcp.writeUInt32BE(options.sequence, 4);
  tcp.writeUInt32BE((options.acknowledge ?? 0) % 2 ** 32, 8);
  tcp[12] = 0x50;
  tcp[13] = options.flags;
  tcp.writeUInt16BE(64_000, 14);
  const addresses = Buffer.from([...bytesOf(source.address), ...bytesOf(destination.address)]);
  // In IPv6 length and protocol have four bytes each (RFC 8200 section 8.1), which is the same sum.
  tcp.writeUInt16BE(internetSum(Buffer.concat([addresses, Buffer.from([0, 6, 0, 20]), tcp])), 16);
  const ends = Buffer.concat([macOf(destination), macOf(source)]);
  if (source.address.includes(':')) {
    return Buffer.concat([ends, Buffer.from([0x86, 0xdd, 0x60, 0, 0, 0, 0, 20, 6, 64]), addresses, tcp]);
  }
  const ip = Buffer.concat([Buffer.from([0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 6, 0, 0]), addresses]);
  ip.writeUInt16BE(internetSum(ip), 10);
  return Buffer.concat([ends, Buffer.from([8, 0]), ip, tcp]);
}

/** undefined when it is no TCP, or behind more headers than that of IP. */
export function tcpOf(frame: Buffer) {
  const isV6 = frame.readUInt16BE(12) === 0x86dd;
  if (frame.length < 54 || (!isV6 && frame.readUInt16BE(12) !== 0x0800) || frame[isV6 ? 20 : 23] !== 6)
    return undefined;
  const at = isV6 ? 54 : 14 + (frame[14]! & 15) * 4;
  const end = isV6 ? 54 + frame.readUInt16BE(18) : 14 + frame.readUInt16BE(16);
  return {
    from: frame.readUInt16BE(at),
    to: frame.readUInt16BE(at + 2),
    sequence: frame.readUInt32BE(at + 4),
    acknowledged: frame.readUInt32BE(at + 8),
    flags: frame[at + 13]! & 0x3f,
    payload: frame.subarray(at + (frame[at + 12]! >> 4) * 4, end),
  };
}

/** The reply to an ARP request for `station` (RFC 826); undefined for any other frame. */
export function arpReplyTo(frame: Buffer, station: Station): Buffer | undefined {
  const asked = Buffer.from(bytesOf(station.address));
  if (frame.readUInt16BE(12) !== 0x0806 || frame[21] !== 1 || !frame.subarray(38, 42).equals(asked)) return undefined;
  const asker = frame.subarray(22, 32);
  const fixed = Buffer.from('080600010800060400' + '02', 'hex');
  return Buffer.concat([asker.subarray(0, 6), macOf(station), fixed, macOf(station), asked, asker]);
}

/** The advertisement (RFC 4861 section 4.4) that answers a solicitation for `station`; undefined for any other frame. */
export function neighbourReplyTo(frame: Buffer, station: Station): Buffer | undefined {
  const asked = Buffer.from(bytesOf(station.address));
  const isAsked = frame.readUInt16BE(12) === 0x86dd && frame[20] === 58 && frame[54] === 135;
  if (!isAsked || !frame.subarray(62, 78).equals(asked)) return undefined;
  const message = Buffer.concat([Buffer.from('8800000060000000', 'hex'), asked, Buffer.from([2, 1]), macOf(station)]);
  const addresses = Buffer.concat([asked, frame.subarray(22, 38)]);
  message.writeUInt16BE(internetSum(Buffer.concat([addresses, Buffer.from([0, 58, 0, 32]), message])), 2);
  const header = Buffer.from([0x86, 0xdd, 0x60, 0, 0, 0, 0, 32, 58, 255]);
  return Buffer.concat([frame.subarray(6, 12), macOf(station), header, addresses, message]);
}

function bytesOf(address: string): number[] {
  if (!address.includes(':')) return address.split('.').map(Number);
  const [head = [], tail = []] = address.split('::').map((half) => half.split(':').filter((group) => group !== ''));
  const groups = [...head, ...Array<string>(8 - head.length - tail.length).fill('0'), ...tail];
  return groups.flatMap((group) => [Number.parseInt(group, 16) >> 8, Number.parseInt(group, 16) & 0xff]);
}

function macOf(station: Station): Buffer {
  return Buffer.from(station.mac.replaceAll(':', ''), 'hex');
}

/** RFC 1071. */
function internetSum(data: Buffer): number {
  let sum = 0;
  for (let i = 0; i < data.length; i += 2) sum += data.readUInt16BE(i);
  return 0xffff - (sum % 0xffff);
}
