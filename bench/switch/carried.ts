import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Segment, SwitchConfig } from '@skerry/switch';
import { parseIpv4, parseMac } from '../../packages/switch/src/address.ts';
import { LENGTH_BYTES, withLength } from '../../packages/switch/src/framing.ts';
import { ipv4Frame, PROTOCOL_UDP } from '../../packages/switch/src/packets/ipv4.ts';
import { startSwitch } from './process.ts';

/** How much the real switch process carries from one guest's socket to another's: the "guests" are plain sockets here. */

export interface SwitchMeasurement {
  readonly gbitPerSecond: number;
  readonly framesPerSecond: number;
  readonly frameBytes: number;
  readonly seconds: number;
  /** Frames that the switch dropped because the sink was too slow. */
  readonly droppedFrames: number;
  /** Of one core, spent by the switch. */
  readonly switchCpuPercent: number;
}

const MACS = ['02:00:00:00:00:01', '02:00:00:00:00:02'] as const;
const ADDRESSES = ['10.213.0.10', '10.213.0.11'] as const;
/** What a source has under way, as TCP's window would limit it; twice this is below the switch's queue (see QUEUE_BYTES). */
const WINDOW_BYTES = 480 * 1024;
const WRITE_BYTES = 64 * 1024;

/**
 * @param options.frameBytes Ethernet frame, default the largest of the usual MTU; `seconds` default 2, after 0.5 of warming
 * up; `segment`: what else the segment has, such as an ACL
 */
export async function measureSwitch(
  options: { frameBytes?: number; seconds?: number; segment?: Partial<Segment> } = {},
): Promise<SwitchMeasurement> {
  const frameBytes = options.frameBytes ?? 1514;
  const seconds = options.seconds ?? 2;
  await using undo = new AsyncDisposableStack();
  const directory = await mkdtemp(join(tmpdir(), 'skerry-bench-'));
  undo.defer(() => rm(directory, { recursive: true, force: true }));
  const [source, sink] = [await listen(join(directory, 'a')), await listen(join(directory, 'b'))];
  undo.defer(() => close(source.server));
  undo.defer(() => close(sink.server));
  await using target = await startSwitch(directory);
  const { client, cpuMs } = target;
  await client.call('sync', config(directory, options.segment));
  const flow = new Flow(await source.connection, await sink.connection, frameBytes);
  undo.defer(() => flow.stop());
  await sleep(500);
  const before = { bytes: flow.receivedBytes, at: performance.now(), cpuMs: await cpuMs() };
  await sleep(seconds * 1000);
  const bytes = flow.receivedBytes - before.bytes;
  const ms = performance.now() - before.at;
  const cpu = (await cpuMs()) - before.cpuMs;
  const stats = await client.call('stats');
  const frames = bytes / (LENGTH_BYTES + frameBytes);
  return {
    gbitPerSecond: (frames * frameBytes * 8) / ms / 1e6,
    framesPerSecond: (frames / ms) * 1000,
    frameBytes,
    seconds: ms / 1000,
    droppedFrames: stats.segments[0]!.ports[1]!.queueDrops,
    switchCpuPercent: (cpu / ms) * 100,
  };
}

/** Sends whole writes of frames for as long as fewer than WINDOW_BYTES are under way. */
class Flow {
  receivedBytes = 0;
  readonly #source: Socket;
  readonly #block: Buffer;
  #sentBytes = 0;
  #stopped = false;

  constructor(source: Socket, sink: Socket, frameBytes: number) {
    this.#source = source;
    const frame = withLength(udpFrameOf(frameBytes));
    this.#block = Buffer.concat(Array.from({ length: Math.floor(WRITE_BYTES / frame.length) }, () => frame));
    sink.on('data', (chunk: Buffer) => {
      this.receivedBytes += chunk.length;
      this.#fill();
    });
    this.#fill();
  }

  stop(): void {
    this.#stopped = true;
  }

  #fill(): void {
    while (!this.#stopped && this.#sentBytes - this.receivedBytes + this.#block.length <= WINDOW_BYTES) {
      this.#source.write(this.#block);
      this.#sentBytes += this.#block.length;
    }
  }
}

function udpFrameOf(frameBytes: number): Buffer {
  const udp = Buffer.alloc(frameBytes - 34);
  udp.writeUInt16BE(5001, 0);
  udp.writeUInt16BE(5001, 2);
  udp.writeUInt16BE(udp.length, 4);
  const ends = {
    sourceMac: parseMac(MACS[0])!,
    destinationMac: parseMac(MACS[1])!,
    source: parseIpv4(ADDRESSES[0])!,
    destination: parseIpv4(ADDRESSES[1])!,
  };
  return ipv4Frame(ends, PROTOCOL_UDP, udp);
}

function config(directory: string, more: Partial<Segment> = {}): SwitchConfig {
  const ports = ['a', 'b'].map((id, i) => ({
    id,
    socketPath: join(directory, id),
    mac: MACS[i]!,
    addresses: [ADDRESSES[i]!],
    names: [],
    linkUp: true,
  }));
  const gateway = { gateway: '10.213.0.1', gatewayMac: '52:55:0a:d5:00:01' };
  const segment = { id: 'bench', subnet: '10.213.0.0/24', ...gateway, hostAddresses: [], upstreamDns: [], ports };
  return { version: 1, segments: [{ ...segment, ...more }] };
}

async function listen(path: string): Promise<{ server: Server; connection: Promise<Socket> }> {
  const server = createServer();
  const connection = new Promise<Socket>((resolve) => {
    server.once('connection', (socket) => {
      socket.on('error', () => {}); // the switch ends before we do
      resolve(socket);
    });
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  return { server, connection };
}

function close(server: Server): Promise<void> {
  return new Promise((resolve) => server.close(() => resolve()));
}
