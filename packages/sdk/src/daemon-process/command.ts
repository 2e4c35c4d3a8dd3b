import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { SkerryError } from '@skerry/api/base';

/** Whether the daemon's package is beside ours, as in the repository and in the Debian package. From npm it is not. */
export function hasDaemon(): boolean {
  return existsSync(new URL('../../../daemon/package.json', import.meta.url));
}

const STDERR_MAX_BYTES = 64 * 1024;

/**
 * `skerry daemon start`, for a client that came without a daemon (from npm): by the program in $SKERRY_COMMAND, or by the
 * `skerry` in PATH. It answers when it returns.
 * @throws SkerryError `unavailable`: there is no such program, or it says why it can't
 */
export async function startByCommand(signal: AbortSignal | undefined): Promise<void> {
  const named = process.env['SKERRY_COMMAND'] || undefined;
  const command = named ?? 'skerry';
  const { exitCode, stderr, error } = await runStart(command, signal);
  signal?.throwIfAborted();
  if (exitCode === 0) return;
  if (error !== undefined) {
    const why = error.code === 'ENOENT' ? 'there is no such program' : error.message;
    const message = `No daemon runs, and '${command}', which could start one, can't be run: ${why}`;
    throw new SkerryError('unavailable', message, {
      remedy:
        named === undefined
          ? 'Install Skerry on this machine, or set SKERRY_COMMAND to its `skerry`, or SKERRY_HOST to a daemon that runs.'
          : 'Set SKERRY_COMMAND to the path of a `skerry`, or SKERRY_HOST to a daemon that runs.',
      cause: error,
    });
  }
  throw new SkerryError('unavailable', `\`${command} daemon start\` failed (exit code ${exitCode}): ${stderr.trim()}`, {
    remedy: `Run \`${command} host doctor\`, and see \`${command} daemon logs\`.`,
  });
}

interface Ended {
  readonly exitCode: number | null;
  readonly stderr: string;
  /** It could not be started. */
  readonly error?: NodeJS.ErrnoException;
}

function runStart(command: string, signal: AbortSignal | undefined): Promise<Ended> {
  // What is meant for this program's Node (a loader, an inspector) is not meant for the daemon's.
  const { NODE_OPTIONS: _, ...env } = process.env;
  return new Promise((resolve) => {
    const child = spawn(command, ['daemon', 'start'], {
      env,
      stdio: ['ignore', 'ignore', 'pipe'],
      ...(signal === undefined ? {} : { signal }),
    });
    let stderr = '';
    child.stderr.on('data', (data: Buffer) => (stderr = (stderr + data.toString()).slice(-STDERR_MAX_BYTES)));
    child.once('error', (error: NodeJS.ErrnoException) => resolve({ exitCode: null, stderr, error }));
    child.once('close', (exitCode) => resolve({ exitCode, stderr }));
  });
}
