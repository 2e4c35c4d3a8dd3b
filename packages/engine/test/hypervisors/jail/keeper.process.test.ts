import { existsSync } from 'node:fs';
import { chmod, readFile, writeFile } from 'node:fs/promises';
import { createConnection, type Socket } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { describe, expect, it } from 'vitest';
import { run } from '../../../src/hosts/index.ts';
import { killJailed, waitSealed, watchExit, type JailProcess } from '../../../src/hypervisors/jail/index.ts';
import { isRoot, makeJail, type Jail } from './fixture.ts';

/** Objects that a child fills, and its supervisor keeps. */

interface Keeper extends AsyncDisposable {
  readonly jail: Jail;
  readonly keepPath: string;
  readonly process: JailProcess;
  /** Lets the child end. */
  finish(): Promise<void>;
  /** Lets it end while somebody waits. */
  seal(): Promise<Readonly<Record<string, number>>>;
}

const DEVICES = 'printf 0123456789 >/proc/self/fd/{devices}';
const FILL = `printf 0-memory >/proc/self/fd/{memory}; ${DEVICES}`;

/** A child that fills both of its objects, and ends with `code` when it is told to. */
async function makeKeeper({ code = 0, fill = FILL, uid = 0 } = {}): Promise<Keeper> {
  const jail = await makeJail();
  await chmod(jail.root, 0o711); // its child, of another uid, looks whether `go` is there
  const keepPath = join(jail.root, 'keep');
  const go = join(jail.root, 'go');
  const script = `${fill}; while [ ! -e ${go} ]; do sleep 0.02; done; exit ${code}`;
  const process = await jail.launch(['sh', '-c', script], {
    objects: { memory: 65_536, devices: 0 },
    keepPath,
    ...(uid === 0 ? {} : { owner: { uid, gid: uid } }),
  });
  const finish = (): Promise<void> => writeFile(go, '');
  return {
    ...{ jail, keepPath, process, finish },
    seal: () => waitSealed(keepPath, () => void finish(), { timeoutMs: 10_000 }),
    async [Symbol.asyncDispose]() {
      await killJailed(jail.dir);
      await jail[Symbol.asyncDispose]();
    },
  };
}

/** What a taker, another process with another supervisor, prints. */
async function take({ keepPath }: Keeper, script: string, owner?: { uid: number; gid: number }): Promise<string> {
  await using jail = await makeJail();
  const { output } = await jail.finish(['sh', '-c', script], {
    take: { memory: { keepPath, object: 'memory' }, devices: { keepPath, object: 'devices' } },
    ...(owner === undefined ? {} : { owner }),
  });
  return output;
}

function connectTo({ keepPath }: Keeper): Socket {
  const socket = createConnection(keepPath);
  socket.on('error', () => {});
  return socket;
}

/** What the keeper says until it closes; nothing, if it does so before it has read all. */
async function ask(keeper: Keeper, request: string): Promise<string> {
  const socket = connectTo(keeper);
  socket.write(request);
  return await text(socket).catch(() => '');
}

const alive = (pid: number): boolean => existsSync(`/proc/${pid}`);

describe('objects that are kept', () => {
  it('are sealed once the child has ended well, and are handed to anybody from then on', async () => {
    await using keeper = await makeKeeper();
    expect(await ask(keeper, 'take memory\n')).toBe('b');
    expect(await keeper.seal()).toEqual({ memory: expect.any(Number), devices: 4096 });
    expect(alive(keeper.process.pid)).toBe(false);
    for (let round = 0; round < 3; round++) {
      expect(await take(keeper, 'head -c 8 /proc/self/fd/{memory}; cat <&{devices}')).toBe('0-memory0123456789');
    }
    // A daemon that starts asks again.
    const late = await waitSealed(keeper.keepPath, () => {}, { timeoutMs: 5000 });
    expect(late).toMatchObject({ devices: 4096 });
    expect(await ask(keeper, 'fill devices\n')).toBe('b');
  });

  it('can be written by no taker, nor made shorter or longer', async () => {
    await using keeper = await makeKeeper();
    await keeper.seal();
    const program = join(keeper.jail.root, 'try');
    await writeFile(`${program}.c`, TRY_TO_WRITE);
    await run(['gcc', '-o', program, `${program}.c`]);
    const output = await take(keeper, `${program} /proc/self/fd/{memory}`);
    const denied = 'Operation not permitted';
    expect(output.trim().split('\n')).toEqual([
      ...['write', 'truncate', 'grow', 'shared mapping', 'unseal'].map((what) => `${what}: ${denied}`),
      'private mapping: Success',
    ]);
    expect(await take(keeper, 'head -c 8 /proc/self/fd/{memory}')).toBe('0-memory');
  });

  it('are read by each taker from the start, whoever else reads', async () => {
    await using keeper = await makeKeeper();
    await keeper.seal();
    const script = 'for i in 1 2 3 4 5; do head -c 2 <&{devices}; sleep 0.05; done';
    const all = await Promise.all([1, 2, 3].map(() => take(keeper, script)));
    expect(all).toEqual(['0123456789', '0123456789', '0123456789']);
  });

  it.runIf(isRoot)('are opened anew by takers without any rights', async () => {
    await using keeper = await makeKeeper({
      uid: 729_011,
      fill: `printf %s-memory "$(id -u)" >/proc/self/fd/{memory}; ${DEVICES}`,
    });
    await keeper.seal();
    const script = 'id -u; head -c 13 /proc/self/fd/{memory}; : >>/proc/self/fd/{memory} && echo " opened to write"';
    const output = await take(keeper, script, { uid: 729_012, gid: 729_012 });
    // QEMU opens it so, and maps it for itself alone.
    expect(output).toBe('729012\n729011-memory opened to write\n');
  });

  it('are gone when the keeper is ended', async () => {
    await using keeper = await makeKeeper();
    await keeper.seal();
    expect(await killJailed(keeper.jail.dir, { force: true })).toMatchObject({ cause: 'exit', exit: { code: 0 } });
    await expect.poll(() => alive(keeper.process.jailPid)).toBe(false);
    expect(existsSync(keeper.keepPath)).toBe(false);
    await expect(take(keeper, 'true')).rejects.toMatchObject({ code: 'unavailable' });
  });

  it('are gone when the keeper is killed, and takers are told so', async () => {
    await using keeper = await makeKeeper();
    await keeper.seal();
    const end = watchExit(keeper.jail.dir);
    process.kill(keeper.process.jailPid, 'SIGKILL');
    await end;
    await expect(take(keeper, 'true')).rejects.toMatchObject({
      code: 'unavailable',
      message: `no memory object 'memory' at ${keeper.keepPath}: Connection refused`,
      remedy: expect.stringMatching(/template/) as string,
    });
  });
});

describe('nothing is kept', () => {
  it.each([
    ['the child fails', { code: 3 }],
    ['an object was never filled', { fill: 'echo x >/proc/self/fd/{memory}' }],
  ])('when %s', async (_, how) => {
    await using keeper = await makeKeeper(how);
    await expect(keeper.seal()).rejects.toMatchObject({ code: 'failed' });
    await watchExit(keeper.jail.dir);
    await expect.poll(() => alive(keeper.process.jailPid)).toBe(false);
    expect(existsSync(keeper.keepPath)).toBe(false);
  });

  it('when nobody waits, or he who did has gone', async () => {
    await using unseen = await makeKeeper();
    await unseen.finish();
    expect(await watchExit(unseen.jail.dir)).toMatchObject({ cause: 'exit', exit: { code: 0 } });

    await using left = await makeKeeper();
    const abort = new AbortController();
    const waiting = waitSealed(left.keepPath, () => abort.abort(), { timeoutMs: 5000, signal: abort.signal });
    await expect(waiting).rejects.toMatchObject({ code: 'cancelled' });
    await left.finish();
    expect(await watchExit(left.jail.dir)).toMatchObject({ cause: 'exit', exit: { code: 0 } });
  });

  it('when the keeper is told to end while the child runs', async () => {
    await using keeper = await makeKeeper();
    const waiting = waitSealed(keeper.keepPath, () => process.kill(keeper.process.jailPid, 'SIGTERM'), {
      timeoutMs: 10_000,
    });
    await expect(waiting).rejects.toMatchObject({ code: 'failed', remedy: expect.any(String) as string });
    expect(await watchExit(keeper.jail.dir)).toMatchObject({ exit: { signal: 'SIGTERM' } });
  });
});

describe('peers that say nothing, or nonsense', () => {
  it('hold up neither others, nor the child, nor its end', async () => {
    await using keeper = await makeKeeper({ fill: `${FILL}; yes | head -c 3000000` });
    const silent = Array.from({ length: 12 }, () => connectTo(keeper));
    const startedMs = performance.now();
    await keeper.seal();
    expect(await take(keeper, 'cat <&{devices}')).toBe('0123456789');
    await killJailed(keeper.jail.dir);
    // One after the other they would have cost 24 seconds.
    expect(performance.now() - startedMs).toBeLessThan(8000);
    for (const socket of silent) socket.destroy();
  });

  it('are dropped after two seconds, so that even many of them end', async () => {
    await using keeper = await makeKeeper();
    const silent = Array.from({ length: 40 }, () => connectTo(keeper));
    await keeper.seal();
    expect(await take(keeper, 'cat <&{devices}')).toBe('0123456789');
    for (const socket of silent) socket.destroy();
  }, 30_000);

  it('get no answer', async () => {
    await using keeper = await makeKeeper();
    const nonsense = [
      '\n',
      'take \n',
      'fill\n',
      'waiting\n',
      'x'.repeat(64),
      `${'y'.repeat(5000)}\n`,
      'a\0b\n',
      '\0\n',
    ];
    for (const request of nonsense) expect(await ask(keeper, request)).toMatch(/^n?$/);
    expect(await ask(keeper, 'take nothing\n')).toBe('n');
    expect(await ask(keeper, 'fill memory\n')).toBe('b');
    expect(await keeper.seal()).toMatchObject({ devices: 4096 });
  });

  it('may send their request in pieces', async () => {
    await using keeper = await makeKeeper();
    await keeper.seal();
    const socket = connectTo(keeper);
    for (const piece of ['ta', 'ke dev', 'ices', '\n']) {
      socket.write(piece);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    expect(await text(socket)).toBe('k');
  });

  it('are told when more wait than are served, and all the others hear', async () => {
    await using keeper = await makeKeeper();
    let waiting = 0;
    const known = (): void => {
      if ((waiting += 1) === 16) enough.resolve();
    };
    const enough = Promise.withResolvers<void>();
    const all = Array.from({ length: 16 }, () => waitSealed(keeper.keepPath, known, { timeoutMs: 10_000 }));
    await enough.promise;
    await expect(waitSealed(keeper.keepPath, known, { timeoutMs: 5000 })).rejects.toThrow(/too many wait/);
    await keeper.finish();
    for (const each of await Promise.all(all)) expect(each).toMatchObject({ devices: 4096 });
  });
});

describe('memory that is short', () => {
  it.runIf(isRoot)(
    'ends the child, and leaves nothing',
    async () => {
      await using jail = await makeJail();
      const keepPath = join(jail.root, 'keep');
      const { warnings, jailPid } = await jail.launch(
        [
          'sh',
          '-c',
          'echo x >/proc/self/fd/{devices}; sleep 0.3; exec head -c 64000000 /dev/zero >/proc/self/fd/{memory}',
        ],
        {
          objects: { memory: 1 << 26, devices: 0 },
          keepPath,
          group: { name: `skerry-test-${process.pid}/short`, memoryMaxBytes: 1 << 24 },
        },
      );
      if (warnings.some((warning) => warning.includes('memory'))) return; // no control groups here to be had
      await expect(waitSealed(keepPath, () => {}, { timeoutMs: 20_000 })).rejects.toMatchObject({ code: 'failed' });
      await watchExit(jail.dir);
      await expect.poll(() => alive(jailPid)).toBe(false);
      expect(existsSync(keepPath)).toBe(false);
    },
    30_000,
  );
});

it('the socket is open to nobody else', async () => {
  await using keeper = await makeKeeper({ uid: isRoot ? 729_013 : 0 });
  const { stdout } = await run(['stat', '-c', '%a %u', keeper.keepPath]);
  expect(stdout.trim()).toBe(`600 ${process.getuid?.()}`);
  expect(await readFile(`/proc/${keeper.process.pid}/status`, 'utf8')).toMatch(isRoot ? /Uid:\s+729013/ : /Uid/);
});

const TRY_TO_WRITE = `
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
static void tell(const char *what, int failed) { printf("%s: %s\\n", what, failed ? strerror(errno) : "Success"); }
int main(int argc, char **argv) {
  int fd = open(argv[argc - 1], O_RDWR);
  tell("write", write(fd, "x", 1) < 0);
  tell("truncate", ftruncate(fd, 0) < 0);
  tell("grow", ftruncate(fd, 1 << 20) < 0);
  tell("shared mapping", mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED);
  tell("unseal", fcntl(fd, F_ADD_SEALS, 0) < 0);
  char *own = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
  if (own != MAP_FAILED) own[0] = 'x';
  tell("private mapping", own == MAP_FAILED);
  return 0;
}
`;
