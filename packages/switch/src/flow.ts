import { ETHERNET_HEADER_BYTES, ETHERTYPE_IPV4, readUint16, readUint32 } from './packets/ethernet.ts';
import { ipv4HeaderBytes, PROTOCOL_ICMP, PROTOCOL_TCP, PROTOCOL_UDP } from './packets/ipv4.ts';
import { IPV6_HEADER_BYTES, noUpperLayer, PROTOCOL_ICMPV6, readUpperLayer } from './packets/ipv6.ts';

/**
 * Who talks to whom in a frame: what connections are told apart by. IPv4 addresses are the last word of four, so that
 * both kinds have one form; the version is part of the key, so that they are never mixed up.
 */

/** Words of a key: source, destination, ports, and what kind of traffic it is. */
export const KEY_WORDS = 10;
export const PORTS = 8;
export const KIND = 9;

const TCP_FIN = 1;
const TCP_SYN = 2;
const TCP_RST = 4;
const TCP_ACK = 16;

const ECHO = 8;
const ECHO_REPLY = 0;
const ECHO_6 = 128;
const ECHO_REPLY_6 = 129;

/** Marks a key that stands for the pieces of one datagram. */
const PIECES = 0x1_0000;

export class Flow {
  readonly key = new Uint32Array(KEY_WORDS);
  version: 4 | 6 = 4;
  protocol = 0;
  /** It may answer something, and needs no rule then. A connection attempt and an echo request never do. */
  answers = false;
  /** It ends its connection, or begins one. */
  closes = false;
  opens = false;
  /** Not the first piece of its datagram: the key is that of the pieces. */
  laterPiece = false;
  /** The first one of several. */
  firstPiece = false;
  pieceId = 0;
  /** Of an ICMP error: where the packet begins that it is about; else 0. */
  aboutAt = 0;

  /** @returns false when its ports can't be told: nothing of that kind passes a filter */
  read(frame: Buffer, start: number, end: number): boolean {
    this.answers = true;
    this.closes = false;
    this.opens = false;
    this.laterPiece = false;
    this.firstPiece = false;
    this.aboutAt = 0;
    const at = start + ETHERNET_HEADER_BYTES;
    if (readUint16(frame, start + 12) !== ETHERTYPE_IPV4) return this.#readIpv6(frame, start, end);
    const headerBytes = ipv4HeaderBytes(frame, start, end);
    if (headerBytes === 0) return false;
    this.version = 4;
    this.#addresses4(frame, at);
    const piece = readUint16(frame, at + 6);
    this.#piece((piece & 0x1fff) * 8, (piece & 0x2000) !== 0, readUint16(frame, at + 4));
    return this.#readUpper(
      frame,
      frame[at + 9]!,
      at + headerBytes,
      at + readUint16(frame, at + 2),
      (piece & 0x1fff) * 8,
    );
  }

  #readIpv6(frame: Buffer, start: number, end: number): boolean {
    readUpperLayer(frame, start, end, upper);
    if (upper.protocol < 0 || upper.routed) return false;
    this.version = 6;
    this.#addresses6(frame, start + ETHERNET_HEADER_BYTES);
    this.#piece(upper.fragmentOffset, upper.moreFragments, upper.fragmentId);
    return this.#readUpper(frame, upper.protocol, upper.at, upper.end, upper.fragmentOffset);
  }

  #addresses4(frame: Buffer, at: number): void {
    const { key } = this;
    key.fill(0);
    key[3] = readUint32(frame, at + 12);
    key[7] = readUint32(frame, at + 16);
  }

  #addresses6(frame: Buffer, at: number): void {
    for (let word = 0; word < 8; word += 1) this.key[word] = readUint32(frame, at + 8 + 4 * word);
  }

  #piece(offset: number, more: boolean, id: number): void {
    this.pieceId = id;
    this.laterPiece = offset > 0;
    this.firstPiece = offset === 0 && more;
  }

  #readUpper(frame: Buffer, protocol: number, at: number, end: number, offset: number): boolean {
    this.protocol = protocol;
    if (this.laterPiece) {
      // A piece that begins inside the TCP header could change the flags that we have seen (RFC 3128).
      if (protocol === PROTOCOL_TCP && offset < 20) return false;
      this.toPieces();
      return true;
    }
    const { key } = this;
    key[PORTS] = 0;
    key[KIND] = protocol | (this.version << 8);
    if (protocol === PROTOCOL_TCP || protocol === PROTOCOL_UDP) {
      // A first piece without the ports, or without TCP's flags, hides what it is (RFC 1858).
      if (end - at < (protocol === PROTOCOL_TCP ? 20 : 8)) return false;
      key[PORTS] = readUint32(frame, at);
      if (protocol === PROTOCOL_TCP) {
        const flags = frame[at + 13]!;
        this.opens = (flags & (TCP_SYN | TCP_ACK)) === TCP_SYN;
        this.answers = !this.opens;
        this.closes = (flags & (TCP_FIN | TCP_RST)) !== 0;
      }
    } else if (protocol === (this.version === 4 ? PROTOCOL_ICMP : PROTOCOL_ICMPV6)) {
      if (end - at < 8) return false;
      this.#readIcmp(frame, at, end);
    }
    return true;
  }

  #readIcmp(frame: Buffer, at: number, end: number): void {
    const type = frame[at]!;
    this.key[PORTS] = this.#echoPorts(frame, at);
    this.answers = type === (this.version === 4 ? ECHO_REPLY : ECHO_REPLY_6);
    const isError = this.version === 4 ? type === 3 || type === 11 || type === 12 : type >= 1 && type <= 4;
    if (isError && this.#headerEndOf(frame, at + 8, end) > 0) this.aboutAt = at + 8;
  }

  /** The id of an echo stands for the port of who asks, 0 for that of who answers. */
  #echoPorts(frame: Buffer, at: number): number {
    const type = frame[at]!;
    const id = readUint16(frame, at + 4);
    if (type === (this.version === 4 ? ECHO : ECHO_6)) return (id << 16) >>> 0;
    return type === (this.version === 4 ? ECHO_REPLY : ECHO_REPLY_6) ? id : type;
  }

  /** @returns where the network header at `at` ends, if 8 bytes follow it; else 0 */
  #headerEndOf(frame: Buffer, at: number, end: number): number {
    if (end - at < 28 || frame[at]! >>> 4 !== this.version) return 0;
    const bytes = this.version === 4 ? (frame[at]! & 15) * 4 : IPV6_HEADER_BYTES;
    if (bytes < 20 || at + bytes + 8 > end) return 0;
    return this.version === 4 && (readUint16(frame, at + 6) & 0x1fff) !== 0 ? 0 : at + bytes;
  }

  /**
   * Makes the key that of the packet which an ICMP error is about.
   * @returns false when that packet was not sent by who gets the error
   */
  toWhatItIsAbout(frame: Buffer, end: number): boolean {
    const { key, aboutAt } = this;
    const getter = [key[4]!, key[5]!, key[6]!, key[7]!];
    const at = this.#headerEndOf(frame, aboutAt, end);
    const protocol = frame[aboutAt + (this.version === 4 ? 9 : 6)]!;
    if (this.version === 4) this.#addresses4(frame, aboutAt);
    else this.#addresses6(frame, aboutAt);
    key[KIND] = protocol | (this.version << 8);
    const isIcmp = protocol === (this.version === 4 ? PROTOCOL_ICMP : PROTOCOL_ICMPV6);
    const hasPorts = protocol === PROTOCOL_TCP || protocol === PROTOCOL_UDP;
    key[PORTS] = hasPorts ? readUint32(frame, at) : isIcmp ? this.#echoPorts(frame, at) : 0;
    return getter.every((word, i) => word === key[i]);
  }

  /** Makes the key that of the pieces of this datagram. */
  toPieces(): void {
    this.key[PORTS] = this.pieceId;
    this.key[KIND] = this.protocol | (this.version << 8) | PIECES;
  }
}

/** The key of what is sent in answer. */
export function reverseKey(key: Uint32Array, into: Uint32Array): Uint32Array {
  for (let word = 0; word < 4; word += 1) {
    into[word] = key[word + 4]!;
    into[word + 4] = key[word]!;
  }
  into[PORTS] = ((key[PORTS]! << 16) | (key[PORTS]! >>> 16)) >>> 0;
  into[KIND] = key[KIND]!;
  return into;
}

/** Of the word at KIND. */
export function isPieces(kind: number): boolean {
  return (kind & PIECES) !== 0;
}

export function protocolOf(kind: number): number {
  return kind & 0xff;
}

export function versionOf(kind: number): number {
  return (kind >>> 8) & 0xff;
}

const upper = noUpperLayer();
