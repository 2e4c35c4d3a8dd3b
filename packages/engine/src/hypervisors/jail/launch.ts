import { once } from 'node:events';
import { access, constants as fsConstants } from 'node:fs/promises';
import { constants } from 'node:os';
import { SkerryError, type ErrorCode } from '@skerry/api';
import { nativePath, start } from '../../hosts/index.ts';
import { planJail, type JailHost, type JailSpec } from './plan.ts';
import { shareRefusal } from './share.ts';
import type { SpareJail } from './spare.ts';
import { inspectJail, isAlive, parsePid, watchExit, type JailEnd, type JailProcess } from './state.ts';

const BUILT_PATH = nativePath('vmjail');
/** vmjail waits up to 2 s for a predecessor's end and 5 s for an orphan's; a loaded host needs some more. */
const READY_TIMEOUT_MS = 15_000;

/**
 * Where vmjail is, and whether a systemd manager makes scopes for us.
 * @throws SkerryError `unsupported` when vmjail has not been built
 */
export async function findJailHost(env: NodeJS.ProcessEnv = process.env, vmjailPath = BUILT_PATH): Promise<JailHost> {
  if (!(await can(vmjailPath, fsConstants.X_OK))) {
    throw new SkerryError('unsupported', `${vmjailPath} is missing`, { remedy: 'Build it: sh native/build.sh' });
  }
  // sd_booted(3): systemd is the init where this directory exists.
  if (!(await can('/run/systemd/system', fsConstants.F_OK))) return { vmjailPath, scope: 'none' };
  if (process.getuid?.() === 0) return { vmjailPath, scope: 'system' };
  const runtimeDir = env['XDG_RUNTIME_DIR'];
  if (runtimeDir === undefined || !(await can(`${runtimeDir}/systemd/private`, fsConstants.F_OK))) {
    return { vmjailPath, scope: 'none' }; // no manager of the user's own: as in a shell made by su
  }
  return { vmjailPath, scope: 'user', env: { XDG_RUNTIME_DIR: runtimeDir } };
}

/**
 * Starts a confined process that outlives us. Resolves once it has been executed (not once it is ready); its sockets
 * accept connections by then.
 * @throws SkerryError `in-use` (it runs already, or a socket is taken), `unsupported` (the command is not installed),
 *   `unavailable` (another's memory object can't be had), `refused`, `no-space`, `timeout`, `cancelled`, `failed`
 */
export async function launchJail(
  spec: JailSpec,
  host: JailHost,
  options: { readonly signal?: AbortSignal | undefined; readonly spare?: SpareJail | undefined } = {},
): Promise<JailProcess> {
  options.signal?.throwIfAborted();
  const argv = planJail(spec, host);
  const [command, ...args] = argv;
  const waiting = command === host.vmjailPath ? options.spare?.take(args) : undefined;
  const child =
    waiting ??
    (await start(argv, {
      stdio: ['ignore', 'pipe', 'pipe'],
      ...(host.env === undefined ? {} : { env: host.env }),
    }));
  let ended: 'timeout' | 'cancelled' | undefined;
  // SIGTERM reaches vmjail once it supervises: it ends the child and takes everything back.
  const end = (why: 'timeout' | 'cancelled'): void => {
    ended ??= why;
    child.kill('SIGTERM');
  };
  const onAbort = (): void => end('cancelled');
  const timer = setTimeout(() => end('timeout'), READY_TIMEOUT_MS);
  options.signal?.addEventListener('abort', onAbort, { once: true });
  if (options.signal?.aborted === true) onAbort();
  try {
    const [out, complaints] = await Promise.all([readToEnd(child.stdout), readToEnd(child.stderr)]);
    if (ended !== undefined) {
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
      throw new SkerryError(
        ended,
        ended === 'cancelled' ? 'The start was cancelled' : 'The VM process did not start in time',
        {
          remedy: 'Try again; if it stays slow, see what the host is busy with.',
          details: { dir: spec.dir },
          cause: options.signal?.reason,
        },
      );
    }
    const line = parseLine(out);
    return parsePid(line) ?? raise(spec, line, complaints);
  } finally {
    clearTimeout(timer);
    options.signal?.removeEventListener('abort', onAbort);
  }
}

/**
 * Ends the process in DIR and waits until it is gone: SIGTERM, and SIGKILL after 5 s; with `force` SIGKILL at once.
 * Returns how it ended, or undefined if nothing was ever started there.
 */
export async function killJailed(
  dir: string,
  options: { readonly force?: boolean | undefined; readonly signal?: AbortSignal | undefined } = {},
): Promise<JailEnd | undefined> {
  const found = await inspectJail(dir);
  if (found.state === 'absent') return undefined;
  if (found.state === 'ended') return found.end;
  const { pid, startTime, jailPid, jailStartTime } = found.process;
  if (options.force === true && (await isAlive(pid, startTime))) send(pid, 'SIGKILL');
  // Or it has ended, and vmjail keeps what it left.
  else if (await isAlive(jailPid, jailStartTime)) send(jailPid, 'SIGTERM');
  return await watchExit(dir, options.signal);
}

function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

interface JailFailure {
  readonly error: string;
  readonly reason: string;
  readonly errno: number;
  readonly step: string;
}

function raise(spec: JailSpec, line: unknown, complaints: string): never {
  const { error, reason, errno, step } = line as Partial<JailFailure>;
  if (error === undefined) {
    throw new SkerryError(
      'failed',
      `The VM's supervisor did not start${complaints === '' ? '' : `: ${complaints.trim()}`}`,
      {
        remedy: 'See `skerry host doctor`, and whether the host is out of memory or processes.',
        details: { dir: spec.dir },
      },
    );
  }
  const { code, remedy } = classify(step ?? '', errno ?? 0, spec);
  throw new SkerryError(code, `${error}: ${reason}`, { remedy, details: { dir: spec.dir, step, errno } });
}

function classify(step: string, errno: number, spec: JailSpec): { code: ErrorCode; remedy: string } {
  const { EADDRINUSE, EACCES, EBUSY, ENOENT, ENOSPC, EPERM, EWOULDBLOCK } = constants.errno;
  if (step === 'usage') return { code: 'internal', remedy: 'This is a bug in Skerry: report it with this message.' };
  if (step === 'lock' && (errno === EWOULDBLOCK || errno === EBUSY)) {
    return { code: 'in-use', remedy: 'It runs already. Wait until it has stopped, or kill it.' };
  }
  if (step === 'exec' && errno === ENOENT) {
    return { code: 'unsupported', remedy: `Install ${spec.command[0]}: \`skerry host doctor\` names the package.` };
  }
  if (step === 'take') {
    return { code: 'unavailable', remedy: 'The template has gone: start the VM again; it makes a new one, or boots.' };
  }
  if (step === 'policy' || step === 'label') {
    return {
      code: 'refused',
      remedy: 'The profile or label of the VM was not accepted: `skerry host doctor` and `journalctl -k` say more.',
    };
  }
  if (step === 'tap' && errno === ENOENT) {
    return { code: 'unsupported', remedy: 'Load the module: modprobe tun. Or use a network of the user datapath.' };
  }
  if (step === 'tap' && errno === EBUSY) {
    return { code: 'in-use', remedy: 'Delete the interface of that name: somebody else has made it.' };
  }
  const share = shareRefusal(step, errno);
  if (share !== undefined) return share;
  if (errno === EADDRINUSE) return { code: 'in-use', remedy: 'End the process that listens there.' };
  if (errno === ENOSPC) return { code: 'no-space', remedy: `Free room on the disk that holds ${spec.dir}.` };
  if (errno === EPERM || errno === EACCES) {
    return { code: 'refused', remedy: 'Check owner and mode of the path, or run the daemon with the rights it needs.' };
  }
  return { code: 'failed', remedy: 'See `skerry host doctor`.' };
}

function parseLine(text: string): unknown {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? value : {};
  } catch {
    return {}; // vmjail was killed before it could say anything
  }
}

/** vmjail closes its stdout and stderr once it is ready, so the end comes soon. */
async function readToEnd(stream: NodeJS.ReadableStream | null): Promise<string> {
  let text = '';
  stream?.setEncoding('utf8');
  for await (const chunk of stream ?? []) text = (text + String(chunk)).slice(-16_384);
  return text;
}

async function can(path: string, mode: number): Promise<boolean> {
  return await access(path, mode).then(
    () => true,
    () => false,
  );
}
