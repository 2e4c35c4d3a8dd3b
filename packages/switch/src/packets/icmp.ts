import { checksum, PROTOCOL_ICMP, type Ipv4 } from './ipv4.ts';

/** ICMP echo (RFC 792). */

const ECHO_REPLY = 0;
const ECHO = 8;
const HEADER_BYTES = 8;

/** @returns the ICMP message that answers an echo request; undefined when the packet is no sound one */
export function echoReply(packet: Ipv4): Buffer | undefined {
  const { payload: message } = packet;
  if (packet.protocol !== PROTOCOL_ICMP || packet.fragment || message.length < HEADER_BYTES) return undefined;
  if (message[0] !== ECHO || message[1] !== 0 || checksum(message) !== 0) return undefined;
  const reply = Buffer.from(message);
  reply[0] = ECHO_REPLY;
  reply.writeUInt16BE(0, 2);
  reply.writeUInt16BE(checksum(reply), 2);
  return reply;
}
