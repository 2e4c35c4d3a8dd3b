/** An independent reading of a pcap file with nanoseconds: draft-ietf-opsawg-pcap sections 4 and 5. */

export interface PcapRecord {
  readonly atNs: bigint;
  readonly bytes: Buffer;
  /** On the wire. */
  readonly length: number;
}

export interface Pcap {
  readonly snapLength: number;
  readonly records: readonly PcapRecord[];
}

/** @throws Error when it is not whole */
export function readPcap(file: Buffer): Pcap {
  const header = [file.readUInt32LE(0), file.readUInt16LE(4), file.readUInt16LE(6), file.readUInt32LE(20)];
  if (header.join() !== [0xa1b23c4d, 2, 4, 1].join()) throw new Error(`not our pcap: ${file.toString('hex', 0, 24)}`);
  const records: PcapRecord[] = [];
  let at = 24;
  while (at < file.length) {
    const [seconds, nanoseconds, kept, length] = [0, 4, 8, 12].map((offset) => file.readUInt32LE(at + offset));
    const bytes = file.subarray(at + 16, at + 16 + kept!);
    if (bytes.length !== kept) throw new Error(`cut short at ${at}`);
    records.push({ atNs: BigInt(seconds!) * 1_000_000_000n + BigInt(nanoseconds!), bytes, length: length! });
    at += 16 + kept;
  }
  return { snapLength: file.readUInt32LE(16), records };
}
