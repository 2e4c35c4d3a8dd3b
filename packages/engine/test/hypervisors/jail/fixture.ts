import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { run, type Argv } from '../../../src/hosts/index.ts';
import {
  findJailHost,
  killJailed,
  launchJail,
  watchExit,
  type JailEnd,
  type JailHost,
  type JailProcess,
  type JailSpec,
} from '../../../src/hypervisors/jail/index.ts';

export const isRoot = process.getuid?.() === 0;

/** A VM directory with whatever runs in it; ended and removed when the test ends. */
export interface Jail extends AsyncDisposable {
  readonly root: string;
  readonly dir: string;
  readonly host: JailHost;
  launch(command: Argv, more?: Partial<JailSpec>): Promise<JailProcess>;
  /** Runs to its end; returns its output too. */
  finish(command: Argv, more?: Partial<JailSpec>): Promise<{ end: JailEnd; output: string; process: JailProcess }>;
}

export async function makeJail(): Promise<Jail> {
  await run(['sh', fileURLToPath(new URL('../../../../../native/build.sh', import.meta.url)), 'vmjail']);
  const root = await mkdtemp(join(tmpdir(), 'skerry-jail-'));
  const dir = join(root, 'vm');
  await mkdir(dir, { mode: 0o700 });
  const host: JailHost = { ...(await findJailHost()), scope: 'none' };
  const launch = (command: Argv, more: Partial<JailSpec> = {}): Promise<JailProcess> =>
    launchJail({ dir, command, ...more }, host);
  return {
    root,
    dir,
    host,
    launch,
    async finish(command, more) {
      const process = await launch(command, more);
      const end = await watchExit(dir);
      return { end, output: end.cause === 'exit' ? end.exit.stderrTail : '', process };
    },
    async [Symbol.asyncDispose]() {
      await killJailed(dir, { force: true });
      await rm(root, { recursive: true, force: true });
    },
  };
}
