import { createSocket, type Socket } from 'node:dgram';
import { parseIpv4 } from './address.ts';
import type { UdpForward } from './config.ts';
import { MIN_IPV4_HEADER_BYTES, readIpv4 } from './packets/ipv4.ts';
import { readUdp, UDP_HEADER_BYTES, udpFrame } from './packets/udp.ts';
import type { UdpForwardState } from './protocol.ts';
import type { SegmentTable } from './table.ts';
import { UdpClients } from './udp-clients.ts';
import { UNTAGGED } from './vlan.ts';

/**
 * UDP ports of the host that lead to guests of one segment: to them the gateway speaks. It outlives syncs; forwards that
 * stay keep their clients.
 */

const RETRY_MS = 2000;

/** Where frames for guests go, as the last sync has made it. */
export interface ForwardTarget {
  readonly table: SegmentTable;
  /** @param index of the port */
  readonly deliver: (index: number, frame: Buffer) => void;
}

export class UdpForwards {
  readonly #clients = new UdpClients<Listener>();
  readonly #log: (line: string) => void;
  #listeners = new Map<string, Listener>();
  #target: ForwardTarget | undefined;

  constructor(log: (line: string) => void) {
    this.#log = log;
  }

  update(forwards: readonly UdpForward[], target: ForwardTarget): void {
    this.#target = target;
    const wanted = new Map(forwards.map((forward) => [JSON.stringify(Object.values(forward)), forward]));
    // First: one that leads elsewhere now has the same port.
    for (const [key, listener] of this.#listeners) {
      if (wanted.has(key)) continue;
      listener.close();
      this.#clients.forget(listener);
      this.#listeners.delete(key);
    }
    const kept = this.#listeners;
    const onDatagram: OnDatagram = (...sent) => this.#toGuest(...sent);
    const open = (forward: UdpForward) => new Listener(forward, this.#log, onDatagram);
    // In the order of the configuration, as the state shows them.
    this.#listeners = new Map([...wanted].map(([key, forward]) => [key, kept.get(key) ?? open(forward)]));
  }

  state(): readonly UdpForwardState[] {
    return [...this.#listeners.values()].map((listener) => ({
      ...listener.forward,
      ...(listener.error === undefined ? {} : { error: listener.error }),
      clients: this.#clients.count(listener),
      drops: listener.drops,
    }));
  }

  /** What a guest has sent to a port of the gateway. @returns whether it is an answer to somebody */
  answer(frame: Buffer): boolean {
    const packet = readIpv4(frame);
    const datagram = packet === undefined ? undefined : readUdp(packet);
    if (packet === undefined || datagram === undefined) return false;
    const client = this.#clients.at(datagram.destinationPort);
    // Other guests, and other ports of this one, have nothing to say to the client.
    if (client?.forward.address !== packet.source) return false;
    if (client.forward.forward.guestPort !== datagram.sourcePort) return false;
    client.forward.send(datagram.payload, client.port, client.address);
    return true;
  }

  close(): void {
    for (const listener of this.#listeners.values()) listener.close();
    this.#listeners.clear();
  }

  #toGuest(listener: Listener, payload: Buffer, address: string, port: number): void {
    const { table, deliver } = this.#target!;
    const guest = table.byAddress.get(listener.address);
    const reachable = guest !== undefined && guest.linkUp && guest.vlan === UNTAGGED;
    const fits = MIN_IPV4_HEADER_BYTES + UDP_HEADER_BYTES + payload.length <= table.mtu;
    const client = reachable && fits ? this.#clients.from(listener, address, port) : undefined;
    if (guest === undefined || client === undefined) {
      listener.drops += 1;
      return;
    }
    const ends = {
      sourceMac: table.gatewayMac,
      destinationMac: guest.mac,
      source: table.gateway,
      destination: listener.address,
    };
    deliver(guest.index, udpFrame(ends, client.gatewayPort, listener.forward.guestPort, payload));
  }
}

type OnDatagram = (from: Listener, payload: Buffer, address: string, port: number) => void;

/** One port of the host. It is tried again as long as it can't be had. */
class Listener {
  readonly forward: UdpForward;
  /** Of the guest. */
  readonly address: number;
  /** Why nothing listens at the moment. */
  error: string | undefined;
  /** Datagrams that did not get to the guest: too large, too many clients, no link. */
  drops = 0;
  readonly #log: (line: string) => void;
  readonly #onDatagram: OnDatagram;
  #socket: Socket | undefined;
  #retry: NodeJS.Timeout | undefined;

  constructor(forward: UdpForward, log: (line: string) => void, onDatagram: OnDatagram) {
    this.forward = forward;
    this.address = parseIpv4(forward.address)!;
    this.#log = log;
    this.#onDatagram = onDatagram;
    this.#open();
  }

  /** Datagrams may get lost: one that can't be sent does. */
  send(payload: Buffer, port: number, address: string): void {
    this.#socket?.send(payload, port, address, () => {});
  }

  close(): void {
    clearTimeout(this.#retry);
    this.#socket?.close();
    this.#socket = undefined;
  }

  #open(): void {
    const { hostAddress, hostPort } = this.forward;
    const socket = createSocket(parseIpv4(hostAddress) === undefined ? 'udp6' : 'udp4');
    this.#socket = socket;
    socket.on('message', (payload, from) => this.#onDatagram(this, payload, from.address, from.port));
    socket.on('error', (error: NodeJS.ErrnoException) => this.#fail(socket, error));
    socket.bind({ address: hostAddress, port: hostPort, exclusive: true }, () => (this.error = undefined));
  }

  #fail(socket: Socket, error: NodeJS.ErrnoException): void {
    if (this.#socket !== socket) return; // closed
    // Once for each reason, not every other second.
    if (this.error !== error.message) this.#log(`forward: ${error.message}`);
    this.error = error.message;
    this.close();
    this.#retry = setTimeout(() => this.#open(), RETRY_MS).unref();
  }
}
