import { SkerryError } from '@skerry/api';

/**
 * Headers of tar, as little of it as our archives use (tar(5), "Old-Style", "ustar" and "GNU"): regular files with short
 * names. Links, devices, long names, sparse maps and extended headers are what attacks are made of: none is understood.
 */

export const BLOCK_BYTES = 512;
const NAME_BYTES = 100;
const MAX_DEPTH = 4;
const PART = /^[A-Za-z0-9][A-Za-z0-9._-]*$/;

export interface TarHeader {
  readonly name: string;
  readonly sizeBytes: number;
}

/** @returns undefined for the block of zeros that ends an archive. @throws SkerryError `invalid` */
export function parseTarHeader(block: Buffer): TarHeader | undefined {
  if (block.every((byte) => byte === 0)) return undefined;
  if (Number.parseInt(text(block, 148, 8), 8) !== checksum(block)) throw unfit('a header is damaged');
  if (text(block, 257, 5) !== 'ustar') throw unfit('it has no ustar headers');
  const name = text(block, 0, NAME_BYTES);
  const type = String.fromCharCode(block[156] ?? 0);
  if (type !== '0') throw unfit(`'${name}' is no regular file (type ${JSON.stringify(type)})`);
  if (block[157] !== 0 || block[345] !== 0) throw unfit(`'${name}' is a link, or has a prefix`);
  assertPlainName(name);
  return { name, sizeBytes: sizeOf(block, name) };
}

/** Whole blocks that a content takes. */
export function paddedBytes(sizeBytes: number): number {
  return Math.ceil(sizeBytes / BLOCK_BYTES) * BLOCK_BYTES;
}

/** @throws SkerryError `invalid` for what could lead out of a directory, or be read as an option */
export function assertPlainName(name: string): void {
  const parts = name.split('/');
  if (name.length <= NAME_BYTES && parts.length <= MAX_DEPTH && parts.every((part) => PART.test(part))) return;
  throw unfit(`${JSON.stringify(name.slice(0, 200))} is no name for a file in it`);
}

/** Octal, or from 8 GiB on base 256 behind a byte 0x80. */
function sizeOf(block: Buffer, name: string): number {
  const octal = text(block, 124, 12).trim();
  const size =
    block[124] === 0x80 && block.readUInt32BE(124) === 0x80000000
      ? Number(block.readBigUInt64BE(128))
      : /^[0-7]+$/.test(octal)
        ? Number.parseInt(octal, 8)
        : Number.NaN;
  if (!Number.isSafeInteger(size)) throw unfit(`the size of '${name}' is no number`);
  return size;
}

/** Sum of all bytes, those of the field itself taken as blanks. */
function checksum(block: Buffer): number {
  return block.reduce((sum, byte, at) => sum + (at >= 148 && at < 156 ? 0x20 : byte), 0);
}

function text(block: Buffer, at: number, length: number): string {
  const field = block.subarray(at, at + length);
  const end = field.indexOf(0);
  return field.subarray(0, end === -1 ? length : end).toString('latin1');
}

function unfit(problem: string): SkerryError {
  return new SkerryError('invalid', `This is no archive of Skerry: ${problem}`, {
    remedy: 'Give the file that `skerry daemon backup` or `skerry bundle create` has written, as it was written.',
  });
}
