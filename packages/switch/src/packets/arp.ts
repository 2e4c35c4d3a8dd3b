import {
  ETHERNET_HEADER_BYTES,
  ETHERTYPE_ARP,
  ethernetFrame,
  readMac,
  readUint16,
  readUint32,
  writeMac,
} from './ethernet.ts';

/** ARP for IPv4 over Ethernet (RFC 826). */

export const ARP_BYTES = 28;
export const ARP_REQUEST = 1;
export const ARP_REPLY = 2;

export interface Arp {
  readonly operation: number;
  readonly senderMac: number;
  readonly senderAddress: number;
  readonly targetAddress: number;
}

/** Whether the payload of the frame at `start` is a request or a reply of the one kind there is: Ethernet and IPv4. */
export function isArp(frame: Buffer, start: number, end: number): boolean {
  const at = start + ETHERNET_HEADER_BYTES;
  if (end - at < ARP_BYTES) return false;
  const operation = readUint16(frame, at + 6);
  return (
    readUint32(frame, at) === 0x0001_0800 && // hardware type 1, protocol type IPv4
    readUint16(frame, at + 4) === 0x0604 && // lengths of their addresses
    (operation === ARP_REQUEST || operation === ARP_REPLY)
  );
}

/** @returns undefined when it is not ARP for IPv4 over Ethernet */
export function readArp(frame: Buffer, start = 0, end = frame.length): Arp | undefined {
  if (!isArp(frame, start, end)) return undefined;
  const at = start + ETHERNET_HEADER_BYTES;
  return {
    operation: readUint16(frame, at + 6),
    senderMac: readMac(frame, at + 8),
    senderAddress: readUint32(frame, at + 14),
    targetAddress: readUint32(frame, at + 24),
  };
}

/** The reply to `request`, which says that its target address is at `mac`. */
export function arpReply(request: Arp, mac: number): Buffer {
  const arp = Buffer.allocUnsafe(ARP_BYTES);
  arp.writeUInt32BE(0x0001_0800, 0);
  arp.writeUInt16BE(0x0604, 4);
  arp.writeUInt16BE(ARP_REPLY, 6);
  writeMac(arp, 8, mac);
  arp.writeUInt32BE(request.targetAddress, 14);
  writeMac(arp, 18, request.senderMac);
  arp.writeUInt32BE(request.senderAddress, 24);
  return ethernetFrame(request.senderMac, mac, ETHERTYPE_ARP, arp);
}
