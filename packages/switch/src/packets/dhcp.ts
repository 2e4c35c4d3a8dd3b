import type { Cidr } from '../address.ts';
import { readMac, readUint16, readUint32, writeMac } from './ethernet.ts';

/** DHCP (RFC 2131; options RFC 2132). */

export const DHCP_SERVER_PORT = 67;
export const DHCP_CLIENT_PORT = 68;
export const DHCP = { discover: 1, offer: 2, request: 3, decline: 4, ack: 5, nak: 6, release: 7, inform: 8 } as const;

const FIXED_BYTES = 236;
const COOKIE = 0x6382_5363;
const OPTION_MTU = 26;
const OPTION_REQUESTED_ADDRESS = 50;
const OPTION_MESSAGE_TYPE = 53;
const OPTION_SERVER = 54;
const OPTION_WANTED = 55;
const OPTION_ROUTES = 121;
const OPTION_ROUTES_249 = 249;

export interface DhcpRequest {
  readonly transaction: number;
  readonly seconds: number;
  readonly flags: number;
  /** `ciaddr`: what the client has already, or 0. */
  readonly clientAddress: number;
  readonly clientMac: number;
  readonly messageType: number;
  readonly requestedAddress: number | undefined;
  readonly server: number | undefined;
  /** Codes of the options that it asks for. */
  readonly wanted: Buffer;
}

/** @returns undefined when it is no sound message of a client on Ethernet */
export function readDhcpRequest(message: Buffer): DhcpRequest | undefined {
  if (message.length < FIXED_BYTES + 4 || readUint32(message, FIXED_BYTES) !== COOKIE) return undefined;
  // BOOTREQUEST, Ethernet, 6-byte address.
  if (message[0] !== 1 || message[1] !== 1 || message[2] !== 6) return undefined;
  const options = readOptions(message, FIXED_BYTES + 4);
  const messageType = options?.get(OPTION_MESSAGE_TYPE);
  if (options === undefined || messageType?.length !== 1) return undefined;
  return {
    transaction: readUint32(message, 4),
    seconds: readUint16(message, 8),
    flags: readUint16(message, 10),
    clientAddress: readUint32(message, 12),
    clientMac: readMac(message, 28),
    messageType: messageType[0]!,
    requestedAddress: addressOption(options.get(OPTION_REQUESTED_ADDRESS)),
    server: addressOption(options.get(OPTION_SERVER)),
    wanted: options.get(OPTION_WANTED) ?? Buffer.alloc(0),
  };
}

function addressOption(data: Buffer | undefined): number | undefined {
  return data?.length === 4 ? readUint32(data, 0) : undefined;
}

/** @returns undefined when an option runs over the end; the end option itself may be missing */
function readOptions(message: Buffer, start: number): Map<number, Buffer> | undefined {
  const options = new Map<number, Buffer>();
  for (let at = start; at < message.length;) {
    const code = message[at]!;
    if (code === 255) break;
    if (code === 0) {
      at += 1;
      continue;
    }
    const length = message[at + 1];
    if (length === undefined || at + 2 + length > message.length) return undefined;
    if (!options.has(code)) options.set(code, message.subarray(at + 2, at + 2 + length));
    at += 2 + length;
  }
  return options;
}

export interface Lease {
  readonly address: number;
  readonly mask: number;
  readonly broadcast: number;
  /** The gateway: DHCP and DNS server, and router where the segment has a way out. */
  readonly server: number;
  readonly router: boolean;
  readonly domain: string | undefined;
  readonly hostname: string | undefined;
  readonly mtu: number;
  readonly seconds: number;
  /** Beside the one to the router. */
  readonly routes: readonly ClasslessRoute[];
}

export interface ClasslessRoute {
  readonly to: Cidr;
  readonly via: number;
}

/** Of an address that is the client's for good. */
export const FIXED_LEASE_SECONDS = 24 * 60 * 60;

/**
 * What the server says to `request`, given the one lease that this client can have.
 * @returns undefined when nothing is to be said: to another server, or not a question
 */
export function answerDhcp(request: DhcpRequest, lease: Lease): Buffer | undefined {
  switch (request.messageType) {
    case DHCP.discover:
      return dhcpReply(request, DHCP.offer, lease);
    case DHCP.request: {
      if (request.server !== undefined && request.server !== lease.server) return undefined;
      const wanted = request.requestedAddress ?? request.clientAddress;
      return dhcpReply(request, wanted === lease.address ? DHCP.ack : DHCP.nak, lease);
    }
    case DHCP.inform:
      return dhcpReply(request, DHCP.ack, lease);
    default:
      return undefined;
  }
}

function dhcpReply(request: DhcpRequest, messageType: number, lease: Lease): Buffer {
  const fixed = Buffer.alloc(FIXED_BYTES + 4);
  const nak = messageType === DHCP.nak;
  const inform = request.messageType === DHCP.inform;
  fixed[0] = 2;
  fixed[1] = 1;
  fixed[2] = 6;
  fixed.writeUInt32BE(request.transaction, 4);
  fixed.writeUInt16BE(request.flags, 10);
  // RFC 2131 table 3: ciaddr is echoed in an ack only, yiaddr is 0 in a nak and for inform.
  fixed.writeUInt32BE(messageType === DHCP.ack ? request.clientAddress : 0, 12);
  fixed.writeUInt32BE(nak || inform ? 0 : lease.address, 16);
  writeMac(fixed, 28, request.clientMac);
  fixed.writeUInt32BE(COOKIE, FIXED_BYTES);
  const options = [
    option(OPTION_MESSAGE_TYPE, Buffer.from([messageType])),
    option(OPTION_SERVER, uint32(lease.server)),
  ];
  if (!nak) {
    if (!inform) options.push(option(51, uint32(lease.seconds)));
    options.push(option(1, uint32(lease.mask)), option(28, uint32(lease.broadcast)), option(6, uint32(lease.server)));
    options.push(option(OPTION_MTU, uint16(lease.mtu)));
    if (lease.router) options.push(option(3, uint32(lease.server)));
    if (lease.hostname !== undefined) options.push(option(12, Buffer.from(lease.hostname, 'latin1')));
    if (lease.domain !== undefined) options.push(option(15, Buffer.from(lease.domain, 'latin1')));
    if (lease.routes.length > 0) options.push(...routeOptions(request, lease));
  }
  const reply = Buffer.concat([fixed, ...options, Buffer.from([255])]);
  // BOOTP's 300 bytes: some clients drop less (RFC 1542 section 2.1).
  return reply.length >= 300 ? reply : Buffer.concat([reply, Buffer.alloc(300 - reply.length)]);
}

/**
 * Classless routes (RFC 3442). Who takes them ignores option 3, so the way to the router is one of them. 249 is the same under
 * the number that Windows asks for.
 */
function routeOptions(request: DhcpRequest, lease: Lease): Buffer[] {
  const defaultRoute: ClasslessRoute = { to: { base: 0, mask: 0, prefix: 0 }, via: lease.server };
  const routes = lease.router ? [...lease.routes, defaultRoute] : lease.routes;
  const data = Buffer.concat(
    routes.flatMap(({ to, via }) => [
      Buffer.from([to.prefix]),
      // Only as many octets of the destination as count.
      uint32(to.base).subarray(0, Math.ceil(to.prefix / 8)),
      uint32(via),
    ]),
  );
  return [OPTION_ROUTES, ...(request.wanted.includes(OPTION_ROUTES_249) ? [OPTION_ROUTES_249] : [])].flatMap((code) =>
    // What does not fit one option goes on in another of the same code (RFC 3396).
    Array.from({ length: Math.ceil(data.length / 255) }, (_, i) => option(code, data.subarray(i * 255, (i + 1) * 255))),
  );
}

function option(code: number, data: Buffer): Buffer {
  return Buffer.concat([Buffer.from([code, data.length]), data]);
}

function uint16(value: number): Buffer {
  const data = Buffer.alloc(2);
  data.writeUInt16BE(value);
  return data;
}

function uint32(value: number): Buffer {
  const data = Buffer.alloc(4);
  data.writeUInt32BE(value);
  return data;
}
