import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect, createServer, type AddressInfo } from 'node:net';
import { buffer, text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startTestHost, type TestHost } from '@skerry/testkit/host';

/** Streams into a VM through its agent: `skerry forward`, `skerry connect`, `vm.connect`. */

const COUNT_PORT = 9000;
const ECHO_PORT = 9001;
const SILENT_PORT = 9009;

let host: TestHost;
beforeAll(async () => {
  host = await startTestHost();
  await host.client.run('vm.create', { body: { name: 'web', start: true } });
  const setUp = `
    mkdir /www && head -c 300000 /dev/urandom > /www/file && httpd -p 80 -h /www
    printf '#!/bin/sh\\nwc -c\\n' > /bin/count && chmod +x /bin/count
    for each in '${COUNT_PORT} /bin/count' '${ECHO_PORT} /bin/cat'; do
      set -- $each
      nc -ll -p $1 -e $2 < /dev/null > /dev/null 2>&1 &
    done
    for port in 80 ${COUNT_PORT} ${ECHO_PORT}; do
      until netstat -ltn | grep -q ":$port "; do sleep 0.1; done
    done`;
  expect(await host.client.exec('web', setUp)).toMatchObject({ exitCode: 0 });
});
afterAll(() => host[Symbol.asyncDispose]());

/** Runs `skerry forward`, until it says that it listens. */
async function forward(...ports: string[]) {
  const cli = host.startCli(['forward', 'web', ...ports, '-o', 'json']);
  let said = '';
  while (!said.endsWith(']\n')) said += String((await once(cli.stdout, 'data'))[0]);
  return { cli, at: JSON.parse(said) as { hostAddress: string; hostPort: number; guestPort: number; vm: string }[] };
}

async function isRefused(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1');
  const error = await new Promise<NodeJS.ErrnoException | undefined>((resolve) => {
    socket.once('connect', () => resolve(undefined));
    socket.once('error', resolve);
  });
  socket.destroy();
  return error?.code === 'ECONNREFUSED';
}

const connections = async (port: number) =>
  Number((await host.client.exec('web', `netstat -tn | grep -c ":${port} .*ESTABLISHED" || true`)).stdout);

describe('skerry forward', () => {
  test('leads several ports into the VM, serves many at once, and ends with Ctrl-C', async () => {
    const { cli, at } = await forward('0:80', `0:${COUNT_PORT}`);
    expect(at).toMatchObject([
      { hostAddress: '127.0.0.1', guestPort: 80, vm: 'web' },
      { hostAddress: '127.0.0.1', guestPort: COUNT_PORT, vm: 'web' },
    ]);
    const [web = 0, count = 0] = at.map(({ hostPort }) => hostPort);
    const { stdout } = await host.client.exec('web', 'sha256sum /www/file');
    const bodies = await Promise.all(
      Array.from({ length: 20 }, async () => (await fetch(`http://127.0.0.1:${web}/file`)).arrayBuffer()),
    );
    for (const body of bodies) {
      expect(createHash('sha256').update(Buffer.from(body)).digest('hex')).toBe(stdout.split(' ')[0]);
    }
    // Told all of it, and that it was all, before it answers.
    const socket = connect({ port: count, host: '127.0.0.1', allowHalfOpen: true });
    socket.end(Buffer.alloc(2_000_000));
    expect(await text(socket)).toBe('2000000\n');

    cli.kill('SIGINT');
    expect(await once(cli, 'exit')).toEqual([130, null]);
    for (const port of [web, count]) expect(await isRefused(port)).toBe(true);
  });

  test('killed, it leaves nothing: not the port, and no connection in the guest', async () => {
    const { cli, at } = await forward(`0:${ECHO_PORT}`);
    const port = at[0]?.hostPort ?? 0;
    const socket = connect(port, '127.0.0.1');
    socket.on('error', () => undefined);
    socket.write('hello');
    expect(String((await once(socket, 'data'))[0])).toBe('hello');
    expect(await connections(ECHO_PORT)).toBeGreaterThan(0);
    cli.kill('SIGKILL');
    await Promise.all([once(cli, 'exit'), once(socket, 'close')]);
    expect(await isRefused(port)).toBe(true);
    await expect.poll(() => connections(ECHO_PORT), { timeout: 10_000 }).toBe(0);
  });

  test('a port where nothing listens resets, and it is said why, once', async () => {
    const { cli, at } = await forward(`0:${SILENT_PORT}`);
    const said = text(cli.stderr);
    for (let turn = 0; turn < 3; turn += 1) {
      const socket = connect(at[0]?.hostPort ?? 0, '127.0.0.1');
      expect((await once(socket, 'error'))[0]).toMatchObject({ code: 'ECONNRESET' });
    }
    cli.kill('SIGTERM');
    expect((await said).match(/Nothing listens on port 9009 of web/g)).toHaveLength(1);
  });

  test('goes on when the daemon is another one', async () => {
    const { cli, at } = await forward(`0:${COUNT_PORT}`);
    await host.restart();
    const count = async (): Promise<string> => {
      const socket = connect({ port: at[0]?.hostPort ?? 0, host: '127.0.0.1', allowHalfOpen: true });
      socket.end('12345');
      return text(socket);
    };
    await expect.poll(count, { timeout: 20_000 }).toBe('5\n');
    cli.kill('SIGINT');
    await once(cli, 'exit');
  });

  test('is refused where it can not be, with what to type', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    await host.client.run('vm.create', { body: { name: 'stopped' } });
    const cases: ReadonlyArray<[string[], number, RegExp]> = [
      [['web', `0:80`, `${port}:80`], 4, new RegExp(`127.0.0.1:${port} is in use\n.*0:80`)],
      [['web', '53:53/udp'], 5, /UDP can not be forwarded\n.*TCP/],
      [['web', '80'], 2, /'80' is no pair of ports\n.*8080:80/],
      [['web', '192.0.2.1:0:80'], 2, /192\.0\.2\.1 is no address of this machine\n.*127\.0\.0\.1/],
      [['stopped', '0:80'], 4, /stopped is stopped, not running\n.*skerry start stopped/],
      [['nobody', '0:80'], 3, /no VM 'nobody'\n.*skerry list/],
    ];
    for (const [args, exitCode, message] of cases) {
      const result = await host.cli(['forward', ...args]);
      expect(result).toMatchObject({ exitCode, stdout: '', stderr: expect.stringMatching(message) });
    }
    server.close();
  });
});

describe('a connection', () => {
  test('skerry connect is one, as standard input and output', async () => {
    const answer = await host.cli(['connect', 'web:80'], { input: 'GET /file HTTP/1.0\r\n\r\n' });
    expect(answer).toMatchObject({ exitCode: 0, stdout: expect.stringMatching(/^HTTP\/1\.\d 200/) });
    const counted = await host.cli(['connect', `web:${COUNT_PORT}`], { input: Buffer.alloc(3_000_000) });
    expect(counted).toEqual({ stdout: '3000000\n', stderr: '', exitCode: 0 });
    const refused = await host.cli(['connect', `web:${SILENT_PORT}`]);
    expect(refused).toMatchObject({ exitCode: 1, stderr: expect.stringContaining('Nothing listens on port 9009') });
  });

  test('loses nothing either way, however slowly it is read', async () => {
    const vm = await host.client.vm('web');
    const content = randomBytes(8_000_000);
    const stream = await vm.connect(ECHO_PORT);
    stream.end(content);
    // Longer than all that may be on its way: the guest has to wait, and so has the writer.
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect((await buffer(stream)).equals(content)).toBe(true);
  });

  test('that is aborted ends in the guest', async () => {
    const vm = await host.client.vm('web');
    const stopping = new AbortController();
    const stream = await vm.connect(ECHO_PORT, { signal: stopping.signal });
    expect(await connections(ECHO_PORT)).toBeGreaterThan(0);
    const failed = once(stream, 'error');
    stopping.abort();
    expect((await failed)[0]).toMatchObject({ code: 'cancelled' });
    await expect.poll(() => connections(ECHO_PORT), { timeout: 10_000 }).toBe(0);
  });

  test('breaks off with the VM, and says so', async () => {
    const vm = await host.client.vm('web');
    const stream = await vm.connect(ECHO_PORT);
    const failed = once(stream, 'error');
    await vm.kill();
    expect((await failed)[0]).toMatchObject({ code: 'unavailable', remedy: expect.stringMatching(/\S/) });
    await expect(vm.connect(ECHO_PORT)).rejects.toMatchObject({ code: 'wrong-state' });
  });
});
