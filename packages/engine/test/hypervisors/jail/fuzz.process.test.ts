import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as fc from '@skerry/testkit/properties';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { run } from '../../../src/hosts/index.ts';

const TIME_MS = 3000;
const native = fileURLToPath(new URL('../../../../../native', import.meta.url));
let root: string;
let vmjail: string;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'skerry-fuzz-'));
  vmjail = join(root, 'vmjail');
  const dir = join(native, 'vmjail');
  const sources = (await readdir(dir)).filter((name) => name.endsWith('.c')).map((name) => join(dir, name));
  const flags = [
    '-std=c11',
    '-g',
    '-O1',
    '-fsanitize=address,undefined',
    '-fno-sanitize-recover=all',
    '-Wall',
    '-Wextra',
    '-Werror',
  ];
  await run(['gcc', ...flags, '-o', vmjail, ...sources]);
}, 60_000);
afterAll(() => rm(root, { recursive: true, force: true }));

// Mostly sensible words in random order, so that runs get past the options; and junk, which names no path or program here.
const path = fc
  .constantFrom('a', 'b', 'c', 'missing/x', 'x'.repeat(120), 'y'.repeat(300), 'lock', 'vm')
  .map((name) => join('ROOT', name));
const junk = fc
  .oneof(fc.string({ maxLength: 60 }), fc.string({ unit: 'binary', maxLength: 20 }), fc.integer().map(String))
  .map((text) => text.replaceAll(/[\0/]/g, ''));
const name = fc.constantFrom('qmp', 'disk', 'a-b_1', 'N', '', 'q'.repeat(40));
const option = fc.oneof(
  fc.tuple(
    fc.constantFrom('--listen'),
    fc.tuple(name, path).map(([n, p]) => `${n}=${p}`),
  ),
  fc.tuple(
    fc.constantFrom('--open'),
    fc.tuple(name, path, fc.constantFrom('r', 'rw', 'a', 'z', '')).map(([n, p, m]) => `${n}=${p}:${m}`),
  ),
  fc.tuple(
    fc.constantFrom('--log'),
    fc.tuple(path, fc.constantFrom('0', '10', '-1', '99999999999999999999', 'x')).map(([p, n]) => `${p}:${n}`),
  ),
  fc.tuple(
    fc.constantFrom('--object'),
    fc.tuple(name, fc.constantFrom('0', '4096', '-1', 'x', '9223372036854775807')).map(([n, size]) => `${n}=${size}`),
  ),
  fc.tuple(
    fc.constantFrom('--take'),
    fc.tuple(name, path, fc.constantFrom('memory', '', 'q'.repeat(40), 'a:b')).map(([n, p, o]) => `${n}=${p}:${o}`),
  ),
  fc.tuple(fc.constantFrom('--keep'), path),
  fc.tuple(
    fc.constantFrom('--rlimit'),
    fc.constantFrom('nofile=64', 'fsize=0', 'core=1', 'nofile', 'what=1', 'nofile=-1'),
  ),
  fc.tuple(fc.constantFrom('--nice'), fc.constantFrom('0', '19', '20', '')),
  fc.tuple(fc.constantFrom('--cgroup-root'), path),
  fc.tuple(fc.constantFrom('--memory-max', '--pids-max', '--cpu-max'), fc.constantFrom('1', '100000', '0', 'x')),
  fc.tuple(
    fc.constantFrom(
      ...['--dir', '--uid', '--group', '--what', '--listen', '--open', '--log', '--rlimit', '--cgroup', ''],
      ...['--object', '--take', '--keep'],
    ),
    junk,
  ),
  junk.map((text) => [text]),
);
const command = fc.array(fc.oneof(junk, fc.constantFrom('{qmp}', '{disk}{disk}', '{', '{}', '{nope}', '}{qmp')), {
  maxLength: 4,
});

it('takes any arguments without a memory error, and answers with one JSON line', async () => {
  let started = 0;
  let ran = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(option, { maxLength: 6 }), command, fc.boolean(), async (options, words, plain) => {
      const dir = await mkdtemp(join(root, 'r'));
      await mkdir(join(dir, 'vm'));
      // A control group of the host is never named: --cgroup comes with junk, which is refused, or not at all.
      const args = [
        '--dir',
        join(dir, 'vm'),
        ...options.flat(),
        '--',
        plain ? `no ${words.join(' ')}` : 'echo',
        ...words,
      ];
      const argv = args.map((word) => word.replaceAll('ROOT', dir));
      const result = await run([vmjail, ...argv], {
        okExitCodes: 'any',
        timeoutMs: 5000,
        env: { ASAN_OPTIONS: 'detect_leaks=0' },
      });
      ran++;
      expect(result.stderr).toBe('');
      expect([0, 64, 71, 75]).toContain(result.exitCode);
      const answer = JSON.parse(result.stdout) as Record<string, unknown>;
      expect(result.stdout.endsWith('}\n')).toBe(true);
      if (result.exitCode === 0) {
        started++;
        expect(answer['ready']).toBe(true);
        expect(
          (await readdir(join(dir, 'vm'))).filter((file) => !/^(lock|exit\.json)$/.test(file)).length,
        ).toBeLessThan(5);
      } else expect(typeof answer['error']).toBe('string');
      await rm(dir, { recursive: true, force: true });
    }),
    { numRuns: 100_000, interruptAfterTimeLimit: TIME_MS, markInterruptAsFailure: false },
  );
  expect(ran).toBeGreaterThan(20);
  expect(started).toBeGreaterThan(0);
}, 30_000);

const handed = fc.oneof(
  fc.tuple(
    fc.constantFrom('--getfd', '--addfd', '--fillfd', '--what', ''),
    fc
      .tuple(
        fc.constantFrom('state', '7', '', 'q'.repeat(40), 'A b', '999999999999'),
        path,
        fc.constantFrom('r', 'rw', 'new', 'x', ''),
      )
      .map(([key, p, mode]) => `${key}=${p}:${mode}`),
  ),
  fc.tuple(fc.constantFrom('--getfd', '--addfd', '--fillfd'), junk),
  junk.map((text) => [text]),
);
const said = fc.oneof(
  fc.constantFrom(
    '{"QMP": {}}\n',
    '{"return": {}}\n',
    '{"error": {"class": "X", "desc": "no"}}\n',
    '{"timestamp": {}}\n',
  ),
  fc.constantFrom(
    '\n',
    '\0\n',
    '{"return"',
    'x'.repeat(65_536),
    `${'y'.repeat(65_535)}\n`,
    `{"return": "${'z'.repeat(70_000)}"}\n`,
  ),
  fc.string({ unit: 'binary', maxLength: 40 }),
);

it('hands over to any monitor without a memory error, and says in its last line what was wrong', async () => {
  let ran = 0;
  let took = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.array(handed, { maxLength: 3 }),
      command,
      fc.array(said, { maxLength: 8 }),
      async (options, words, lines) => {
        const dir = await mkdtemp(join(root, 'q'));
        const server = createServer((socket) => {
          socket.on('error', () => {});
          socket.end(['{"QMP": {}}\n{"return": {}}\n', ...lines].slice(lines.length % 5 === 4 ? 1 : 0).join(''));
        });
        await new Promise<void>((resolve) => server.listen(join(dir, 'qmp'), resolve));
        const args = [...options.flat(), '--', ...words].map((word) => word.replaceAll('ROOT', dir));
        const result = await run([vmjail, '--qmp', join(dir, 'qmp'), ...args], {
          okExitCodes: 'any',
          timeoutMs: 5000,
          env: { ASAN_OPTIONS: 'detect_leaks=0' },
        });
        server.close();
        ran++;
        expect(result.stderr).toBe('');
        expect([0, 1, 64, 71]).toContain(result.exitCode);
        if (result.exitCode === 0) took++;
        if (result.exitCode === 64 || result.exitCode === 71) {
          const last = JSON.parse(result.stdout.trimEnd().split('\n').at(-1) ?? '') as Record<string, unknown>;
          expect(last).toMatchObject({ error: expect.any(String) as string, errno: expect.any(Number) as number });
        }
        await rm(dir, { recursive: true, force: true });
      },
    ),
    { numRuns: 100_000, interruptAfterTimeLimit: TIME_MS, markInterruptAsFailure: false },
  );
  expect(ran).toBeGreaterThan(20);
  expect(took).toBeGreaterThan(0);
}, 30_000);
