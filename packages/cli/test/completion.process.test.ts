import { execFile, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startTestDaemon, type TestDaemon, vmOf } from '@skerry/testkit/contract-server';

/** The scripts in the shells themselves, on a terminal, with the tab key. */

const MAIN = fileURLToPath(new URL('../src/main.ts', import.meta.url));
let daemon: TestDaemon;
let directory: string;
let env: NodeJS.ProcessEnv;

beforeAll(async () => {
  daemon = await startTestDaemon();
  for (const name of ['web-vm', 'shop/db']) {
    const vm = vmOf(name, {}, { state: 'running' });
    daemon.vms.set(vm.id, vm);
  }
  directory = await mkdtemp(join(tmpdir(), 'skerry-completion-'));
  // Where one of these two has a `vi` in it, zsh's keys are vi's (zshzle(1)); and npm sets EDITOR=vi for what it runs.
  const { SKERRY_RUNTIME_DIR: _1, EDITOR: _2, VISUAL: _3, ...inherited } = process.env;
  env = {
    ...inherited,
    HOME: directory,
    ZDOTDIR: directory,
    XDG_CONFIG_HOME: directory,
    XDG_DATA_HOME: directory,
    TERM: 'dumb',
    PATH: `${directory}:${process.env['PATH']}`,
    SKERRY_HOST: daemon.socketPath,
    NODE_COMPILE_CACHE: join(directory, 'cache'),
  };
  const program = join(directory, 'program');
  // A line more in `asked` each time that it has completed something; loading the script is no such time.
  const lines = [
    `'${process.execPath}' --conditions=source '${MAIN}' "$@"`,
    'code=$?',
    `[ "$1" != __complete ] || echo >>'${directory}/asked'`,
  ];
  await writeFile(program, ['#!/bin/sh', ...lines, 'exit $code', ''].join('\n'), { mode: 0o755 });
  await symlink('program', join(directory, 'skerry'));
  await writeFile(join(directory, 'recipe.yaml'), '');
});
afterAll(async () => {
  await daemon[Symbol.asyncDispose]();
  await rm(directory, { recursive: true, force: true });
});

const skerry = async (args: readonly string[], more: NodeJS.ProcessEnv = {}) =>
  promisify(execFile)(join(directory, 'skerry'), args, { env: { ...env, ...more }, cwd: directory });

describe('what the scripts ask', () => {
  test('names come from the daemon, with what they are', async () => {
    expect(await skerry(['__complete', 'start', ''])).toEqual({
      stdout: 'web-vm\trunning\nshop/db\trunning\n',
      stderr: '',
    });
    expect((await skerry(['__complete', 'exec', '--vm=w'])).stdout).toBe('--vm=web-vm\trunning\n');
    expect((await skerry(['__complete', 'cp', 'w'])).stdout).toBe('web-vm:\n:files\n');
  });

  test('without a daemon there are none, none is started, and nothing is said', async () => {
    const empty = await mkdtemp(join(directory, 'empty-'));
    const none = { SKERRY_HOST: '', SKERRY_RUNTIME_DIR: join(empty, 'run'), SKERRY_DATA_DIR: join(empty, 'data') };
    expect(await skerry(['__complete', 'start', ''], none)).toEqual({ stdout: '', stderr: '' });
    expect(await skerry(['__complete', 'sta'], none)).toMatchObject({ stdout: expect.stringMatching(/^start\t/) });
    expect([existsSync(join(empty, 'run')), existsSync(join(empty, 'data'))]).toEqual([false, false]);
  });
});

const SHELLS = {
  bash: { argv: 'bash --norc --noprofile -i', load: 'source <(skerry completion bash)' },
  zsh: { argv: 'zsh -f -i', load: 'autoload -U compinit; compinit -u -D; source <(skerry completion zsh)' },
  fish: { argv: 'fish --no-config -i', load: 'skerry completion fish | source' },
} as const;

const timesAsked = async (): Promise<number> =>
  (await readFile(join(directory, 'asked'), 'utf8').catch(() => '')).length;

/** A shell on a terminal, which script(1) gives it. */
class Shell implements Disposable {
  readonly #child;
  #output = '';

  constructor(argv: string) {
    this.#child = spawn('script', ['-qfc', argv, '/dev/null'], { env, cwd: directory, stdio: 'pipe' });
    this.#child.stdout.on('data', (chunk: Buffer) => (this.#output += chunk.toString()));
  }

  async load(command: string): Promise<void> {
    // In two parts, so that the echo of what is typed is not taken for its result.
    this.#child.stdin.write(`${command}; echo load''ed\r`);
    await this.#seen(/loaded\r?\n/);
  }

  /** Types the text, completes it with the tab key, and gives the line that it has become. */
  async complete(text: string): Promise<string> {
    this.#output = '';
    const before = await timesAsked();
    this.#child.stdin.write(`${text}\t`);
    // zsh loses some of what is typed while it completes.
    await expect.poll(timesAsked, { timeout: 20_000 }).toBeGreaterThan(before);
    await this.#quiet();
    // To the start of the line, to print it instead of running it.
    this.#child.stdin.write(`\u0001echo '<<'\u0005 '>>'\r`);
    const [, line = ''] = await this.#seen(/\n[^\n]*<< ?([^\n]*?) ?>>\r?\n/);
    return line;
  }

  /** It has written what it has to write: nothing for half a second. */
  async #quiet(): Promise<void> {
    for (let length = -1; length !== this.#output.length; await sleep(500)) length = this.#output.length;
  }

  async #seen(pattern: RegExp): Promise<RegExpExecArray> {
    for (const end = Date.now() + 15_000; Date.now() < end; await sleep(20)) {
      const match = pattern.exec(this.#output);
      if (match !== null) return match;
    }
    throw new Error(`${String(pattern)} is not in ${JSON.stringify(this.#output)}`);
  }

  [Symbol.dispose](): void {
    this.#child.stdin.end('\u0003\rexit\r');
    this.#child.kill();
  }
}

const LINES = {
  'skerry secret se': 'skerry secret set',
  'skerry start we': 'skerry start web-vm',
  'skerry stop shop/': 'skerry stop shop/db',
  'skerry list -o ya': 'skerry list -o yaml',
  'skerry exec --vm=we': 'skerry exec --vm=web-vm',
  'skerry create a --mem': 'skerry create a --memory',
  'skerry cp web-v': 'skerry cp web-vm:',
  'skerry image build ./rec': 'skerry image build ./recipe.yaml',
} as const;

const isThere = (program: string): boolean =>
  (process.env['PATH'] ?? '').split(':').some((path) => existsSync(join(path, program)));

describe.each(['bash', 'zsh', 'fish'] as const)('in %s', (name) => {
  test.skipIf(!isThere(name))(
    'the tab key',
    async () => {
      using shell = new Shell(SHELLS[name].argv);
      await shell.load(SHELLS[name].load);
      const became: Record<string, string> = {};
      for (const line of Object.keys(LINES)) became[line] = await shell.complete(line);
      expect(became).toEqual(LINES);
    },
    120_000,
  );
});
