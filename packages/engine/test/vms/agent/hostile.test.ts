import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { promisify } from 'node:util';
import * as fc from '@skerry/testkit/properties';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { SkerryError } from '@skerry/api';
import { connectAgent, type AgentClient } from '../../../src/vms/agent/index.ts';
import { encodeFrame, FrameDecoder, safeLength } from '../../../src/vms/agent/frames.ts';
import * as protocol from '../../../src/vms/agent/protocol.ts';
import { TlvWriter } from '../../../src/vms/agent/tlv.ts';
import { collect, HEADER } from './real-agent.ts';

const { CONTROL, FRAME, MAGIC, NOTIFY, TAG, WINDOW_BYTES } = protocol;
let dir: string;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'skerry-hostile-'));
});
afterAll(() => rm(dir, { recursive: true, force: true }));

const nonce = Buffer.from('nonce-12');
const hello = (newest = 1, oldest = 1): Buffer =>
  encodeFrame(
    FRAME.HELLO,
    0,
    new TlvWriter()
      .u32(TAG.PROTOCOL, newest)
      .u32(TAG.OLDEST, oldest)
      .string(TAG.VERSION, '9')
      .string(TAG.BOOT_NONCE, 'b')
      .string(TAG.KERNEL, 'k')
      .u64(TAG.STARTED_US, 1)
      .u64(TAG.READY_US, 2)
      .end(),
  );

/** A guest that greets as it should, and then sends what it likes. */
async function guest(
  answer: (socket: Socket) => void,
  greeting = hello(),
): Promise<AsyncDisposable & { path: string }> {
  const path = join(dir, `g${Math.random().toString(36).slice(2)}`);
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket);
    socket.on('error', () => {});
    socket.once('data', (first: Buffer) => {
      socket.write(Buffer.concat([Buffer.from('old session'), first.subarray(0, 24), greeting]));
      answer(socket);
    });
  }).listen(path);
  await once(server, 'listening');
  return {
    path,
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

test('the numbers are those of the guest', async () => {
  const header = await readFile(HEADER, 'utf8');
  const groups = {
    FRAME: 'FRAME',
    OP: 'OP',
    CONTROL: 'CONTROL',
    NOTIFY: 'NOTIFY',
    SERVICE: 'SERVICE',
    TAG: 'TAG',
    FAULT: 'FAULT',
    FAULT_KIND: 'FAULT',
  } as const;
  for (const [name, prefix] of Object.entries(groups)) {
    for (const [key, value] of Object.entries(protocol[name as keyof typeof groups])) {
      expect(header).toContain(`  ${prefix}_${key} = ${value},`);
    }
  }
  for (const [prefix, list] of [['FILE', ['REGULAR', 'DIRECTORY', 'SYMLINK', 'OTHER']]] as const) {
    list.forEach((name, index) => expect(header).toContain(`  ${prefix}_${name} = ${index},`));
  }
  protocol.SERVICE_STATES.forEach((name, index) =>
    expect(header).toContain(`  SERVICE_${name.toUpperCase()} = ${index},`),
  );
  protocol.NIC_STATES.forEach((name, index) => expect(header).toContain(`  NIC_${name.toUpperCase()} = ${index},`));
  protocol.RESTARTS.forEach((name, index) =>
    expect(header).toContain(`  RESTART_${name.toUpperCase().replace('-', '_')} = ${index},`),
  );
  for (const name of [
    'PROTOCOL_NEWEST',
    'PROTOCOL_OLDEST',
    'FRAME_MAX',
    'FRAME_OVERHEAD',
    'WINDOW_BYTES',
    'MAX_STREAMS',
    'NONCE_BYTES',
  ] as const) {
    expect(header).toContain(`#define ${name} ${protocol[name]}\n`);
  }
  expect(header).toContain(String.raw`#define MAGIC "\xf5SKERRY-AGENT/1\xfe"`);
  expect(MAGIC.length).toBe(16);
});

test('frames come out as they went in, however they were cut', () => {
  const frame = fc.tuple(fc.nat(255), fc.nat(0xffff_ffff), fc.uint8Array({ maxLength: 2000 }));
  fc.assert(
    fc.property(
      fc.array(frame, { maxLength: 20 }),
      fc.uint8Array({ maxLength: 100 }),
      fc.infiniteStream(fc.integer({ min: 1, max: 700 })),
      (frames, before, cuts) => {
        const bytes = Buffer.concat([
          before,
          MAGIC,
          nonce,
          ...frames.map(([type, id, body]) => encodeFrame(type, id, body)),
        ]);
        const decoder = new FrameDecoder(nonce);
        const out: unknown[] = [];
        for (let at = 0; at < bytes.length;) {
          const cut = cuts.next().value ?? 1;
          for (const { type, stream, body } of decoder.push(bytes.subarray(at, at + cut)))
            out.push([type, stream, body.toString('hex')]);
          at += cut;
        }
        expect(out).toEqual(frames.map(([type, id, body]) => [type, id, Buffer.from(body).toString('hex')]));
      },
    ),
  );
});

test('rubbish ends in a protocol error or in waiting, with bounded memory', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 3000 }), { maxLength: 30 }), fc.boolean(), (chunks, greeted) => {
      const decoder = new FrameDecoder(nonce);
      try {
        if (greeted) Array.from(decoder.push(Buffer.concat([MAGIC, nonce])));
        for (const chunk of chunks) Array.from(decoder.push(Buffer.from(chunk)));
      } catch (error) {
        expect(error).toMatchObject({ code: 'failed' });
      }
      expect(decoder.capacityBytes).toBeLessThanOrEqual(131_072);
    }),
  );
});

test('data is cut through every magic in it', () => {
  const part = fc.oneof(fc.uint8Array({ maxLength: 40 }), fc.constant(MAGIC));
  fc.assert(
    fc.property(fc.array(part), (parts) => {
      let rest = Buffer.concat(parts);
      while (rest.length > 0) {
        const length = safeLength(rest);
        expect(length).toBeGreaterThan(0);
        expect(rest.subarray(0, length).includes(MAGIC)).toBe(false);
        rest = rest.subarray(length);
      }
    }),
  );
});

const data = (channel: number, bytes: number): Buffer => Buffer.concat([Buffer.from([channel]), Buffer.alloc(bytes)]);
const OFFENCES: Record<string, Buffer> = {
  'a length that is too short': Buffer.from([0, 0, 0, 5, 0, 0, 0, 0, 0]),
  'a length of 4 GiB': Buffer.from([0xff, 0xff, 0xff, 0xff]),
  'a frame without its end': Buffer.from([0, 0, 0, 6, FRAME.CLOSE, 0, 0, 0, 1, 7]),
  'a second hello': hello(),
  'a stream that was never opened': encodeFrame(FRAME.DATA, 77, data(1, 1)),
  'a frame of a stream for stream 0': encodeFrame(FRAME.CLOSE, 0, Buffer.alloc(0)),
  'an unknown type': encodeFrame(99, 1, Buffer.alloc(0)),
  'a reset': encodeFrame(FRAME.RESET, 1, Buffer.alloc(0)),
  'a channel that is not there': encodeFrame(FRAME.DATA, 1, data(9, 1)),
  'data without a channel': encodeFrame(FRAME.DATA, 1, Buffer.alloc(0)),
  'more data than granted': Buffer.concat(Array.from({ length: 5 }, () => encodeFrame(FRAME.DATA, 1, data(1, 65_000)))),
  'data after its end': Buffer.concat([
    encodeFrame(FRAME.EOF, 1, Buffer.from([1])),
    encodeFrame(FRAME.DATA, 1, data(1, 1)),
  ]),
  'more credit than the window': encodeFrame(FRAME.CREDIT, 1, Buffer.from([0, 0, 0, 0, 1])),
  'a credit for another channel': encodeFrame(FRAME.CREDIT, 1, Buffer.from([1, 0, 0, 0, 0])),
  'a value that is cut off': encodeFrame(FRAME.CLOSE, 1, Buffer.from([TAG.EXIT_CODE, 0, 0, 1, 0])),
  'a notification of nothing': encodeFrame(FRAME.NOTIFY, 0, Buffer.alloc(0)),
  'a service exit without values': encodeFrame(FRAME.NOTIFY, 0, Buffer.from([NOTIFY.SERVICE_EXIT])),
};

test.each(Object.keys(OFFENCES))('%s ends the connection and rejects what is under way', async (name) => {
  await using server = await guest((socket) => socket.once('data', () => socket.write(OFFENCES[name] ?? '')));
  const client = await connectAgent(server.path);
  const closed = new Promise((resolve) => client.once('close', resolve));
  const command = client.exec({ argv: ['x'] });
  const other = client.stat('/').catch((error: unknown) => error);
  await expect(command.exited).rejects.toMatchObject({ code: 'failed' });
  expect(await other).toMatchObject({ code: 'failed' });
  expect(await closed).toMatchObject({ code: 'failed' });
  expect(client.connected).toBe(false);
  await expect(client.stat('/')).rejects.toMatchObject({ code: 'unavailable' });
});

test('an exit code that can not be one, a file name that leads out', async () => {
  const entry = new TlvWriter()
    .string(TAG.NAME, '../x')
    .u32(TAG.TYPE, 0)
    .u64(TAG.SIZE, 1)
    .u32(TAG.MODE, 1)
    .u64(TAG.MTIME_MS, 1);
  const answers = [
    new TlvWriter().u32(TAG.EXIT_CODE, 256).end(),
    new TlvWriter().bytes(TAG.ENTRY, entry.end()).end(),
    new TlvWriter().u32(TAG.ERRNO, 2).string(TAG.ERROR, 'no \x1b[31m such').end(),
  ];
  await using server = await guest((socket) =>
    socket.once('data', () =>
      answers.forEach((body, index) => socket.write(encodeFrame(FRAME.CLOSE, index + 1, body))),
    ),
  );
  await using client = await connectAgent(server.path);
  const results = [client.exec({ argv: ['x'], stdin: false }).exited, client.stat('/'), client.stat('/y')];
  const [exit, stat, error] = await Promise.allSettled(results);
  expect(exit).toMatchObject({ status: 'rejected', reason: { code: 'failed' } });
  expect(stat).toMatchObject({ status: 'rejected', reason: { code: 'failed' } });
  expect(error).toMatchObject({ reason: { code: 'not-found', message: 'stat /y: no ?[31m such' } });
});

test('agents that are too new or too old are refused; a newer one that knows ours is told', async () => {
  for (const greeting of [hello(3, 2), hello(0, 0), hello(1, 2)]) {
    await using server = await guest(() => {}, greeting);
    await expect(connectAgent(server.path)).rejects.toMatchObject({ code: 'unsupported' });
  }
  const told = Promise.withResolvers<Buffer>();
  await using server = await guest((socket) => socket.once('data', told.resolve), hello(2, 1));
  await using client = await connectAgent(server.path);
  expect(client.hello.protocol).toBe(1);
  expect(await told.promise).toEqual(encodeFrame(FRAME.HELLO, 0, new TlvWriter().u32(TAG.PROTOCOL, 1).end()));
});

test('a guest that sends byte by byte to a reader who is absent costs little memory', async () => {
  const byte = encodeFrame(FRAME.DATA, 1, data(1, 1));
  const frames = Buffer.concat(Array.from({ length: WINDOW_BYTES }, () => byte));
  await using server = await guest((socket) => socket.once('data', () => socket.write(frames)));
  await using client = await connectAgent(server.path);
  const command = client.exec({ argv: ['x'], stdin: false });
  const before = process.memoryUsage().heapUsed;
  command.stdout.once('data', () => command.stdout.pause());
  await once(command.stdout, 'data');
  await new Promise((resolve) => setTimeout(resolve, 300));
  expect(process.memoryUsage().heapUsed - before).toBeLessThan(60 * 2 ** 20);
  expect(client.connected).toBe(true);
});

test(
  'whatever a guest sends, every operation ends and nothing is thrown aside',
  { timeout: 20_000 * fc.RUNS_FACTOR },
  async () => {
    const body = fc.oneof(
      fc.uint8Array({ maxLength: 60 }),
      fc.tuple(fc.nat(3), fc.nat(70_000)).map(([channel, bytes]) => data(channel, Math.min(bytes, 65_000))),
      fc.constantFrom(
        Buffer.from([0, 0, 0, 0, 9]),
        Buffer.from([CONTROL.CONNECTED]),
        Buffer.from([1]),
        Buffer.alloc(0),
      ),
      fc
        .tuple(fc.constantFrom(...Object.values(TAG)), fc.nat(70_000))
        .map(([tag, value]) => new TlvWriter().u32(tag, value).end()),
    );
    const frame = fc
      .tuple(fc.constantFrom(...Object.values(FRAME)), fc.nat(8), body)
      .map(([type, id, bytes]) => encodeFrame(type, id, bytes));
    const flip = fc.tuple(fc.nat(4000), fc.nat(255));
    await fc.assert(
      fc.asyncProperty(
        fc.array(frame, { maxLength: 25 }),
        fc.array(flip, { maxLength: 3 }),
        fc.integer({ min: 1, max: 5000 }),
        async (frames, flips, cut) => {
          const bytes = Buffer.concat(frames);
          for (const [at, value] of flips) if (at < bytes.length) bytes[at] = value;
          await using server = await guest((socket) => {
            socket.once('data', () => {
              for (let at = 0; at < bytes.length; at += cut) socket.write(bytes.subarray(at, at + cut));
              socket.end();
            });
          });
          const client = await connectAgent(server.path);
          const results = await Promise.allSettled(everything(client));
          for (const result of results) {
            if (result.status === 'rejected') expect(result.reason).toBeInstanceOf(SkerryError);
          }
        },
      ),
      { numRuns: 150 },
    );
  },
);

function everything(client: AgentClient): Promise<unknown>[] {
  const command = client.exec({ argv: ['x'] });
  command.stdin.end('input');
  const download = client.get('/x');
  const forward = client.forward(80);
  const forwarded = new Promise((resolve, reject) => forward.on('close', resolve).on('error', reject).resume());
  forward.end('GET');
  return [
    command.exited,
    collect(command.stdout),
    collect(command.stderr),
    download.done,
    collect(download.body),
    client.put('/x', Readable.from([Buffer.alloc(1000)])),
    client.list('/'),
    client.stats(),
    client.service.status(),
    forwarded,
  ];
}

test('the decoder in C stands rubbish, under the sanitizers', { timeout: 30_000 }, async () => {
  const native = join(HEADER, '..');
  const binary = join(dir, 'fuzz');
  const sources = [join(native, 'fuzz/frames.c'), join(native, 'frames.c')];
  const flags = ['-g', '-O1', '-std=c11', '-D_GNU_SOURCE', '-fsanitize=address,undefined', '-fno-sanitize-recover=all'];
  await promisify(execFile)('gcc', [...flags, '-o', binary, ...sources]);
  const { stdout } = await promisify(execFile)(binary, [String(fc.SEED), '700']);
  expect(stdout).toMatch(/^[1-9]\d* rounds, [1-9]\d* sessions, [1-9]\d* frames/);
});
