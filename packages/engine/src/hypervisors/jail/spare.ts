import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { start, type Argv } from '../../hosts/index.ts';

/**
 * One vmjail that waits for its arguments: a process as large as the daemon takes milliseconds to fork, and blocks meanwhile.
 * It ends by itself when the daemon does, as its stdin then ends.
 */

/** A start is no time to fork another. */
const REFILL_AFTER_MS = 200;

export class SpareJail {
  readonly #vmjailPath: string;
  #waiting: ChildProcess | undefined;
  #refill: NodeJS.Timeout | undefined;
  #isClosed = false;

  constructor(vmjailPath: string) {
    this.#vmjailPath = vmjailPath;
  }

  /** @returns a process that goes on as `vmjail ...args`, if one was waiting */
  take(args: readonly string[]): ChildProcess | undefined {
    const child = this.#waiting;
    this.#waiting = undefined;
    this.#refill?.refresh();
    this.#refill ??= setTimeout(() => void this.#fill(), REFILL_AFTER_MS).unref();
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return undefined;
    for (const pipe of pipesOf(child)) pipe.ref();
    child.stdin?.end([String(args.length), ...args, ''].join('\0'));
    return child;
  }

  /** Resolves once it has ended. */
  async close(): Promise<void> {
    this.#isClosed = true;
    clearTimeout(this.#refill);
    const child = this.#waiting;
    this.#waiting = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    child.stdin?.destroy();
    await once(child, 'exit');
  }

  async #fill(): Promise<void> {
    this.#refill = undefined;
    if (this.#isClosed || this.#waiting !== undefined) return;
    const argv: Argv = [this.#vmjailPath, '--wait'];
    // Without one, a start forks as ever, and says what is wrong.
    const child = await start(argv, { stdio: ['pipe', 'pipe', 'pipe'] }).catch(() => undefined);
    if (child === undefined) return;
    child.stdin?.on('error', () => undefined); // It has gone: whoever took it reads nothing from it.
    for (const pipe of pipesOf(child)) pipe.unref();
    if (this.#isClosed) child.stdin?.destroy();
    else this.#waiting = child;
  }
}

function pipesOf({ stdin, stdout, stderr }: ChildProcess): Socket[] {
  return [stdin, stdout, stderr].filter((pipe) => pipe !== null) as Socket[];
}
