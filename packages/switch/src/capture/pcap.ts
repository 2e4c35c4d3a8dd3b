/** The pcap file format (draft-ietf-opsawg-pcap), little-endian, with times in nanoseconds. */

export const PCAP_HEADER_BYTES = 24;
export const RECORD_HEADER_BYTES = 16;

const MAGIC_NANOSECONDS = 0xa1b2_3c4d;
const LINKTYPE_ETHERNET = 1;

/** @param snapBytes the most that is kept of a frame */
export function pcapHeader(snapBytes: number): Buffer {
  const header = Buffer.alloc(PCAP_HEADER_BYTES);
  header.writeUInt32LE(MAGIC_NANOSECONDS, 0);
  header.writeUInt16LE(2, 4);
  header.writeUInt16LE(4, 6);
  header.writeUInt32LE(snapBytes, 16);
  header.writeUInt32LE(LINKTYPE_ETHERNET, 20);
  return header;
}

/** @param keptBytes of the frame's `bytes`; they follow at `at + RECORD_HEADER_BYTES` */
export function writeRecordHeader(
  block: Buffer,
  at: number,
  time: { readonly seconds: number; readonly nanoseconds: number },
  keptBytes: number,
  bytes: number,
): void {
  block.writeUInt32LE(time.seconds, at);
  block.writeUInt32LE(time.nanoseconds, at + 4);
  block.writeUInt32LE(keptBytes, at + 8);
  block.writeUInt32LE(bytes, at + 12);
}
