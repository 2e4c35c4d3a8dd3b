/** Ethernet II (IEEE 802.3 clause 3): destination, source, type, payload. No FCS: QEMU passes frames without one. */

export const ETHERNET_HEADER_BYTES = 14;
/** 14 + the largest IPv4 packet: no guest interface can be set to more. */
export const MAX_FRAME_BYTES = ETHERNET_HEADER_BYTES + 65_535;

export const ETHERTYPE_IPV4 = 0x0800;
export const ETHERTYPE_ARP = 0x0806;
export const ETHERTYPE_VLAN = 0x8100;
export const ETHERTYPE_IPV6 = 0x86dd;

/** The 48-bit address at `at`; the caller has checked that six bytes are there. */
export function readMac(buffer: Buffer, at: number): number {
  return (
    ((buffer[at]! << 8) | buffer[at + 1]!) * 0x1_0000_0000 +
    (((buffer[at + 2]! << 24) | (buffer[at + 3]! << 16) | (buffer[at + 4]! << 8) | buffer[at + 5]!) >>> 0)
  );
}

export function readUint16(buffer: Buffer, at: number): number {
  return (buffer[at]! << 8) | buffer[at + 1]!;
}

export function readUint32(buffer: Buffer, at: number): number {
  return ((buffer[at]! << 24) | (buffer[at + 1]! << 16) | (buffer[at + 2]! << 8) | buffer[at + 3]!) >>> 0;
}

export function writeMac(buffer: Buffer, at: number, mac: number): void {
  buffer.writeUIntBE(mac, at, 6);
}

export function ethernetFrame(destination: number, source: number, type: number, payload: Buffer): Buffer {
  const frame = Buffer.allocUnsafe(ETHERNET_HEADER_BYTES + payload.length);
  writeMac(frame, 0, destination);
  writeMac(frame, 6, source);
  frame.writeUInt16BE(type, 12);
  payload.copy(frame, ETHERNET_HEADER_BYTES);
  return frame;
}
