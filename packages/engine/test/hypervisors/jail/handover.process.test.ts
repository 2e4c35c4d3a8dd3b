import { existsSync } from 'node:fs';
import { readFile, stat, writeFile } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { run } from '../../../src/hosts/index.ts';
import { handOver } from '../../../src/hypervisors/jail/index.ts';
import { makeJail, type Jail } from './fixture.ts';

/** `vmjail --qmp` against monitors that behave, and that do not. A real QEMU takes it in the driver's tests. */

const GREETING = '{"QMP": {"version": {}, "capabilities": []}}\n';
const DONE = '{"return": {}}\n';
const EVENT = '{"timestamp": {"seconds": 1}, "event": "STOP"}\n';

interface Awkward extends AsyncDisposable {
  readonly jail: Jail;
  readonly path: string;
  /** The lines that were sent to it. */
  readonly heard: string[];
}

/** A monitor that greets with `greeting`, and answers as `answer` tells. */
async function monitor(greeting: string, answer: (line: string, socket: Socket) => void): Promise<Awkward> {
  const jail = await makeJail();
  const path = join(jail.root, 'cut');
  const heard: string[] = [];
  const server: Server = createServer((socket) => {
    let text = '';
    socket.on('error', () => {});
    socket.on('data', (data) => {
      text += data.toString();
      for (const lines = text.split('\n'); lines.length > 1; text = lines.join('\n')) {
        const line = lines.shift() ?? '';
        heard.push(line);
        answer(line, socket);
      }
    });
    socket.write(greeting);
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  return {
    ...{ jail, path, heard },
    async [Symbol.asyncDispose]() {
      server.close();
      await jail[Symbol.asyncDispose]();
    },
  };
}

const good = (_: string, socket: Socket): void => void socket.write(EVENT + DONE + EVENT);

describe('a handover', () => {
  it('passes descriptors first, then gives the commands, in their order', async () => {
    await using qemu = await monitor(GREETING, good);
    const file = join(qemu.jail.root, 'a:b=c');
    await handOver(
      qemu.jail.host,
      qemu.path,
      [
        { name: 'state', path: file, mode: 'new' },
        { set: 7, path: file, mode: 'rw' },
      ],
      [{ execute: 'migrate', arguments: { uri: 'fd:state' } }],
    );
    expect(qemu.heard.map((line) => JSON.parse(line) as unknown)).toEqual([
      { execute: 'qmp_capabilities' },
      { execute: 'getfd', arguments: { fdname: 'state' } },
      { execute: 'add-fd', arguments: { 'fdset-id': 7 } },
      { execute: 'migrate', arguments: { uri: 'fd:state' } },
    ]);
    expect((await stat(file)).mode & 0o777).toBe(0o600);
  });

  it('never writes over a file, nor follows a link', async () => {
    await using qemu = await monitor(GREETING, good);
    const file = join(qemu.jail.root, 'there');
    await writeFile(file, 'precious');
    const over = handOver(qemu.jail.host, qemu.path, [{ name: 'state', path: file, mode: 'new' }], []);
    await expect(over).rejects.toMatchObject({ code: 'in-use', message: `cannot open ${file}: File exists` });
    await run(['ln', '-s', file, `${file}-link`]);
    const link = handOver(qemu.jail.host, qemu.path, [{ set: 1, path: `${file}-link`, mode: 'rw' }], []);
    await expect(link).rejects.toMatchObject({ code: 'failed' });
    expect(await readFile(file, 'utf8')).toBe('precious');
  });

  it('tells what is missing', async () => {
    await using qemu = await monitor(GREETING, good);
    const { host, root } = qemu.jail;
    const missing = handOver(host, qemu.path, [{ set: 1, path: join(root, 'none'), mode: 'r' }], []);
    await expect(missing).rejects.toMatchObject({ code: 'not-found', remedy: expect.any(String) as string });
    const keeper = handOver(host, qemu.path, [{ name: 'a', kept: { keepPath: join(root, 'keep'), object: 'x' } }], []);
    await expect(keeper).rejects.toMatchObject({
      code: 'unavailable',
      remedy: expect.stringMatching(/template/) as string,
    });
    await expect(handOver(host, join(root, 'nobody'), [], [])).rejects.toMatchObject({
      code: 'unavailable',
      message: "QEMU's monitor is not there: No such file or directory",
    });
    await expect(handOver(host, `/${'x'.repeat(120)}`, [], [])).rejects.toMatchObject({ code: 'internal' });
  });

  it('stops at the first command that is refused, and tells why in QEMU’s words', async () => {
    const refuse = (line: string, socket: Socket): void => {
      socket.write(line.includes('migrate') ? '{"error": {"class": "GenericError", "desc": "it is busy"}}\n' : DONE);
    };
    await using qemu = await monitor(GREETING, refuse);
    const work = handOver(qemu.jail.host, qemu.path, [], [{ execute: 'migrate' }, { execute: 'quit' }]);
    await expect(work).rejects.toMatchObject({
      code: 'failed',
      message: 'QEMU did not take what it was given: it is busy',
    });
    expect(qemu.heard.at(-1)).toBe('{"execute":"migrate"}');
  });

  it.each([
    ['no QMP', 'SSH-2.0-OpenSSH\r\n', good, /no QEMU/],
    ['a line of more than 64 KiB', 'x'.repeat(70_000), good, /too long/],
    [
      'nothing, and closes',
      GREETING,
      (_: string, socket: Socket) => void socket.end(),
      /does not answer: Connection reset/,
    ],
    ['garbage', GREETING, (_: string, socket: Socket) => void socket.write('\0\0}{"\n'), /did not take/],
  ])('ends when it hears %s', async (_, greeting, answer, message) => {
    await using qemu = await monitor(greeting, answer);
    const file = join(qemu.jail.root, 'state');
    const work = handOver(qemu.jail.host, qemu.path, [{ name: 'state', path: file, mode: 'new' }], []);
    await expect(work).rejects.toMatchObject({ message: expect.stringMatching(message) as string });
    expect(existsSync(file)).toBe(false);
  });

  it('can be cancelled while a monitor is silent', async () => {
    await using qemu = await monitor(GREETING, () => {});
    const abort = new AbortController();
    const work = handOver(qemu.jail.host, qemu.path, [], [], { signal: abort.signal });
    setTimeout(() => abort.abort(), 100);
    await expect(work).rejects.toMatchObject({ code: 'cancelled' });
    await expect(handOver(qemu.jail.host, qemu.path, [], [], { signal: abort.signal })).rejects.toMatchObject({
      code: 'cancelled',
    });
  });
});
