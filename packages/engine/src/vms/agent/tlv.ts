import { protocolError } from './errors.ts';

/** Values as tag (u8), length (u32, big-endian), bytes. A reader ignores tags that it does not know. */

export class TlvWriter {
  readonly #parts: Buffer[] = [];

  bytes(tag: number, value: Uint8Array): this {
    const head = Buffer.allocUnsafe(5);
    head[0] = tag;
    head.writeUInt32BE(value.length, 1);
    this.#parts.push(head, Buffer.isBuffer(value) ? value : Buffer.from(value));
    return this;
  }

  string(tag: number, value: string | undefined): this {
    return value === undefined ? this : this.bytes(tag, Buffer.from(value));
  }

  u32(tag: number, value: number | undefined): this {
    if (value === undefined) return this;
    const bytes = Buffer.allocUnsafe(4);
    bytes.writeUInt32BE(value);
    return this.bytes(tag, bytes);
  }

  u64(tag: number, value: number | bigint | undefined): this {
    if (value === undefined) return this;
    const bytes = Buffer.allocUnsafe(8);
    bytes.writeBigUInt64BE(BigInt(value));
    return this.bytes(tag, bytes);
  }

  /** Values that are encoded already. */
  raw(values: Buffer): this {
    this.#parts.push(values);
    return this;
  }

  end(): Buffer {
    return Buffer.concat(this.#parts);
  }
}

/** What a guest sent, by tag. Every getter checks; a missing or malformed value is a protocol error. */
export class Tlvs {
  readonly #values: Map<number, Buffer[]>;

  private constructor(values: Map<number, Buffer[]>) {
    this.#values = values;
  }

  /** @throws SkerryError `failed`: not a list of values */
  static parse(bytes: Buffer): Tlvs {
    const values = new Map<number, Buffer[]>();
    for (let at = 0; at < bytes.length;) {
      if (bytes.length - at < 5) throw protocolError('a value is cut off');
      const tag = bytes.readUInt8(at);
      const length = bytes.readUInt32BE(at + 1);
      if (length > bytes.length - at - 5) throw protocolError('a value is longer than its frame');
      const value = bytes.subarray(at + 5, at + 5 + length);
      const list = values.get(tag);
      if (list === undefined) values.set(tag, [value]);
      else list.push(value);
      at += 5 + length;
    }
    return new Tlvs(values);
  }

  has(tag: number): boolean {
    return this.#values.has(tag);
  }

  all(tag: number): readonly Buffer[] {
    return this.#values.get(tag) ?? [];
  }

  bytes(tag: number): Buffer {
    const value = this.#values.get(tag)?.[0];
    if (value === undefined) throw protocolError(`value ${tag} is missing`);
    return value;
  }

  /** At most `maxBytes` of UTF-8; what is not UTF-8 comes out as U+FFFD, control characters as they are. */
  string(tag: number, maxBytes = 4096): string {
    const value = this.bytes(tag);
    if (value.length > maxBytes) throw protocolError(`value ${tag} is longer than ${maxBytes} bytes`);
    return value.toString('utf8');
  }

  /** Big-endian, 1 to 8 bytes; past 2^53 it is rounded. */
  number(tag: number): number {
    return numberOf(this.bytes(tag), tag);
  }

  numbers(tag: number): number[] {
    return this.all(tag).map((value) => numberOf(value, tag));
  }

  /** Two's complement in 8 bytes. */
  signed(tag: number): number {
    const value = this.bytes(tag);
    if (value.length !== 8) throw protocolError(`value ${tag} is not a number`);
    return Number(value.readBigInt64BE());
  }

  /** @throws SkerryError `failed` when it is not in [min, max] */
  within(tag: number, min: number, max: number): number {
    const value = this.number(tag);
    if (value < min || value > max) throw protocolError(`value ${tag} is out of range`);
    return value;
  }
}

function numberOf(value: Buffer, tag: number): number {
  if (value.length < 1 || value.length > 8) throw protocolError(`value ${tag} is not a number`);
  if (value.length <= 6) return value.readUIntBE(0, value.length);
  return Number(BigInt(`0x${value.toString('hex')}`));
}
