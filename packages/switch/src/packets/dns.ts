import type { Ipv6 } from '../address6.ts';
import { readUint16 } from './ethernet.ts';

/** DNS messages (RFC 1035): as much as a stub resolver's question and a short answer need. */

export const DNS_HEADER_BYTES = 12;
export const TYPE_A = 1;
export const TYPE_PTR = 12;
export const TYPE_AAAA = 28;
export const TYPE_ANY = 255;
const CLASS_IN = 1;

export const RCODE = { ok: 0, formatError: 1, serverFailure: 2, noSuchName: 3, notImplemented: 4, refused: 5 } as const;
export type Rcode = (typeof RCODE)[keyof typeof RCODE];

export interface DnsQuery {
  readonly id: number;
  readonly recursionDesired: boolean;
  /** Lower case, without the final dot; '' is the root. */
  readonly name: string;
  readonly type: number;
  readonly class: number;
  /** Where the question ends: bytes 12 to here are echoed in the answer. */
  readonly questionEnd: number;
}

/** @returns undefined when it is no query with exactly one well-formed question: such a message gets no answer */
export function readDnsQuery(message: Buffer): DnsQuery | undefined {
  if (message.length < DNS_HEADER_BYTES) return undefined;
  const flags = readUint16(message, 2);
  // QR (a response) or an opcode other than QUERY.
  if ((flags & 0xf800) !== 0 || readUint16(message, 4) !== 1) return undefined;
  const question = readQuestion(message);
  if (question === undefined) return undefined;
  return { id: readUint16(message, 0), recursionDesired: (flags & 0x0100) !== 0, ...question };
}

/** Whether `message` is a response to a query sent with `id` and the question of `query`. */
export function isResponseTo(message: Buffer, query: DnsQuery, id: number): boolean {
  if (message.length < DNS_HEADER_BYTES || readUint16(message, 0) !== id) return false;
  if ((message[2]! & 0x80) === 0 || readUint16(message, 4) !== 1) return false;
  const question = readQuestion(message);
  return question?.name === query.name && question.type === query.type && question.class === query.class;
}

function readQuestion(message: Buffer) {
  const labels: string[] = [];
  let at = DNS_HEADER_BYTES;
  for (;;) {
    const length = message[at];
    // 64 and above is a compression pointer or reserved (4.1.4): a first name has nothing to point to.
    if (length === undefined || length > 63) return undefined;
    at += 1;
    if (length === 0) break;
    if (at + length > message.length || at + length - DNS_HEADER_BYTES > 254) return undefined;
    labels.push(message.toString('latin1', at, at + length).toLowerCase());
    at += length;
  }
  if (at + 4 > message.length) return undefined;
  return {
    name: labels.join('.'),
    type: readUint16(message, at),
    class: readUint16(message, at + 2),
    questionEnd: at + 4,
  };
}

export type DnsRecord =
  | { readonly type: typeof TYPE_A; readonly address: number }
  | { readonly type: typeof TYPE_AAAA; readonly address: Ipv6 }
  | { readonly type: typeof TYPE_PTR; readonly name: string };

export interface DnsReply {
  readonly rcode: Rcode;
  readonly records?: readonly DnsRecord[];
  /** Ask again over TCP: the answer does not fit. */
  readonly truncated?: boolean;
  /** From our own table, not from another server. */
  readonly authoritative?: boolean;
}

/** Short, so that a VM that is made anew is found at once. */
const TTL_SECONDS = 5;

export function dnsReply(query: DnsQuery, message: Buffer, reply: DnsReply): Buffer {
  const records = reply.records ?? [];
  const header = Buffer.alloc(DNS_HEADER_BYTES);
  header.writeUInt16BE(query.id, 0);
  header[2] =
    0x80 |
    (reply.authoritative === true ? 0x04 : 0) |
    (reply.truncated === true ? 0x02 : 0) |
    (query.recursionDesired ? 1 : 0);
  header[3] = 0x80 | reply.rcode; // recursion available
  header.writeUInt16BE(1, 4);
  header.writeUInt16BE(records.length, 6);
  return Buffer.concat([
    header,
    message.subarray(DNS_HEADER_BYTES, query.questionEnd),
    ...records.map((record) => encodeRecord(record)),
  ]);
}

function encodeRecord(record: DnsRecord): Buffer {
  const data =
    record.type === TYPE_PTR
      ? encodeName(record.name)
      : wordsOf(record.type === TYPE_A ? [record.address] : record.address);
  const head = Buffer.alloc(12);
  head.writeUInt16BE(0xc000 | DNS_HEADER_BYTES, 0); // the question's name, by pointer
  head.writeUInt16BE(record.type, 2);
  head.writeUInt16BE(CLASS_IN, 4);
  head.writeUInt32BE(TTL_SECONDS, 6);
  head.writeUInt16BE(data.length, 10);
  return Buffer.concat([head, data]);
}

function wordsOf(address: readonly number[]): Buffer {
  const data = Buffer.alloc(4 * address.length);
  for (const [i, word] of address.entries()) data.writeUInt32BE(word, 4 * i);
  return data;
}

/** Labels must be of 1 to 63 bytes, as the configuration's check sees to. */
export function encodeName(name: string): Buffer {
  const labels = name === '' ? [] : name.split('.');
  return Buffer.concat([
    ...labels.map((label) => Buffer.concat([Buffer.from([label.length]), Buffer.from(label, 'latin1')])),
    Buffer.from([0]),
  ]);
}

const REVERSE = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.in-addr\.arpa$/;

/** @returns the dotted address that a PTR question's name asks about */
export function addressOfReverseName(name: string): string | undefined {
  const match = REVERSE.exec(name);
  return match === null ? undefined : `${match[4]}.${match[3]}.${match[2]}.${match[1]}`;
}

const REVERSE_6 = /^((?:[0-9a-f]\.){32})ip6\.arpa$/;

/** @returns the address that a PTR question's name asks about (RFC 3596 section 2.5: a label for each hexadecimal digit) */
export function addressOfReverseName6(name: string): Ipv6 | undefined {
  const digits = REVERSE_6.exec(name)?.[1]?.replaceAll('.', '').split('').reverse().join('');
  if (digits === undefined) return undefined;
  const word = (i: number): number => Number.parseInt(digits.slice(8 * i, 8 * i + 8), 16);
  return [word(0), word(1), word(2), word(3)];
}
