import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { run } from '../../packages/engine/src/hosts/index.ts';
import { findJailHost } from '../../packages/engine/src/hypervisors/jail/index.ts';
import { SwitchService, switchConfig } from '../../packages/engine/src/networks/index.ts';
import { ACK, arpReplyTo, FrameStream, neighbourReplyTo, SYN, tcpFrame, tcpOf } from './frames.ts';

/**
 * The way out: a guest's TCP connection, frame by frame, through the real switch and the real slirp, to a server in a
 * network namespace. No frame reaches a network of this host.
 */

// A namespace of one's own takes root here; without it nothing of this can be looked at.
const possible = process.getuid?.() === 0;
const GUEST = { mac: '02:00:00:00:00:0a', address: '10.213.4.10' };
const GATEWAY = { mac: '52:55:0a:d5:04:01', address: '10.213.4.1' };
const WORLD = { mac: GATEWAY.mac, address: '198.51.100.1' };
const GUEST6 = { mac: GUEST.mac, address: 'fd00:50::10' };
const GATEWAY6 = { mac: GATEWAY.mac, address: 'fd00:50::1' };
const WORLD6 = { mac: GATEWAY.mac, address: '2001:db8::1' };

let runtimeDir: string;
let host: ChildProcess;
let socketPath = '';
const connected: string[] = [];

beforeEach(async () => {
  if (!possible) return;
  await run(['sh', fileURLToPath(new URL('../../native/build.sh', import.meta.url)), 'vmjail']);
  runtimeDir = await mkdtemp(join(tmpdir(), 'skerry-egress-'));
  connected.length = 0;
  const program = fileURLToPath(new URL('egress-host.ts', import.meta.url));
  host = spawn('unshare', ['-n', process.execPath, '--conditions=source', program, runtimeDir], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const ready = Promise.withResolvers<string>();
  host.once('exit', () => ready.reject(new Error('the namespace ended')));
  createInterface({ input: host.stdout! }).on('line', (line) => {
    const message = JSON.parse(line) as { socketPath?: string; connected?: string };
    if (message.socketPath !== undefined) ready.resolve(message.socketPath);
    if (message.connected !== undefined) connected.push(message.connected);
  });
  socketPath = await ready.promise;
});

afterEach(async () => {
  if (!possible) return;
  if (host.exitCode === null) {
    const ended = once(host, 'exit');
    host.stdin!.end();
    await ended;
  }
  // What sync([]) ended has left nothing.
  expect(await readdir(join(runtimeDir, 'egress'))).toEqual([]);
  await rm(runtimeDir, { recursive: true, force: true });
});

/** The guest's side of a connection: SYN, then ACK; the greeting's text, or undefined after a second of silence. */
async function greeting(
  guest: FrameStream,
  to: { mac: string; address: string },
  from: number,
): Promise<string | undefined> {
  const self = to.address.includes(':') ? GUEST6 : GUEST;
  guest.send(tcpFrame(self, to, { from, to: 7000, flags: SYN, sequence: 1000 }));
  const mine = (frame: Buffer) => tcpOf(frame)?.to === from;
  const synAck = await guest.receive((frame) => mine(frame) && tcpOf(frame)!.flags === (SYN | ACK), 1000);
  if (synAck === undefined) return undefined;
  const { sequence, acknowledged } = tcpOf(synAck)!;
  expect(acknowledged).toBe(1001);
  guest.send(tcpFrame(self, to, { from, to: 7000, flags: ACK, sequence: 1001, acknowledge: sequence + 1 }));
  const data = await guest.receive((frame) => mine(frame) && tcpOf(frame)!.payload.length > 0, 5000);
  return data === undefined ? undefined : tcpOf(data)!.payload.toString();
}

test.skipIf(!possible)('guests reach the world through the switch and slirp, and not the host', async () => {
  // The control: without the switch's filter slirp does lead into the host's loopback.
  const bare = connect(socketPath);
  await once(bare, 'connect');
  const unfiltered = new FrameStream(bare, (frame) => arpReplyTo(frame, GUEST) ?? neighbourReplyTo(frame, GUEST6));
  expect(await greeting(unfiltered, GATEWAY, 40_001)).toBe('hello from 127.0.0.1');
  expect(await greeting(unfiltered, GATEWAY6, 40_001)).toBe('hello from ::1');
  bare.destroy();

  const nic = createServer();
  const accepted = new Promise<Socket>((resolve) => nic.once('connection', resolve));
  await new Promise<void>((resolve) => nic.listen(join(runtimeDir, 'nic0'), resolve));
  const target = new SwitchService({ runtimeDir, jail: { ...(await findJailHost()), scope: 'none' } });
  try {
    const network = {
      id: 'n',
      name: 'n',
      mode: 'nat' as const,
      subnet: '10.213.4.0/24',
      gateway: GATEWAY.address,
      ipv6: { subnet: 'fd00:50::/64', gateway: GATEWAY6.address },
      egressSocketPath: socketPath,
    };
    const nics = [{ networkId: 'n', ...GUEST, address6: GUEST6.address, socketPath: join(runtimeDir, 'nic0') }];
    const host6 = { addresses: [], resolvers: [], leadsOut6: true };
    await target.sync(switchConfig([network], [{ id: 'vm', name: 'web', nics }], host6));
    while ((await target.state())?.segments[0]?.egress?.connected !== true) await sleep(20);
    const guest = new FrameStream(await accepted);
    expect(await greeting(guest, WORLD, 40_002)).toBe('hello from 198.51.100.1');
    expect(await greeting(guest, WORLD6, 40_002)).toBe('hello from 2001:db8::1');
    connected.length = 0;
    expect(await greeting(guest, GATEWAY, 40_003)).toBeUndefined();
    expect(await greeting(guest, { ...GATEWAY, address: '10.213.4.2' }, 40_004)).toBeUndefined();
    expect(await greeting(guest, { ...GATEWAY, address: '127.0.0.1' }, 40_005)).toBeUndefined();
    for (const address of [GATEWAY6.address, 'fd00:50::2', '::1', '::ffff:7f00:1']) {
      expect(await greeting(guest, { ...GATEWAY6, address }, 40_006)).toBeUndefined();
    }
    expect(connected).toEqual([]);
    const [port] = (await target.stats())!.segments[0]!.ports;
    expect(port!.drops).toEqual({ host: 7 });
    // Killed: it comes back by itself, and the switch finds it.
    const { pid } = JSON.parse((await run(['cat', join(socketPath, '..', 'pid')])).stdout) as { pid: number };
    process.kill(pid, 'SIGKILL');
    let again: string | undefined;
    for (let from = 40_010; again === undefined && from < 40_030; from += 1) again = await greeting(guest, WORLD, from);
    expect(again).toBe('hello from 198.51.100.1');
  } finally {
    await target.shutdown();
    (await accepted).destroy();
    await new Promise((resolve) => nic.close(resolve));
  }
});
