import { constants } from 'node:os';
import { SkerryError } from '@skerry/api';
import type { AgentConnection } from './connection.ts';
import { protocolError } from './errors.ts';
import { envEntries } from './identity.ts';
import { CONTROL, OP, TAG } from './protocol.ts';
import { TlvWriter, type Tlvs } from './tlv.ts';
import type { AgentProcess, ExecSpec, ExitStatus, ServiceSpec } from './types.ts';

const STDOUT = 1;
const STDERR = 2;

export function execute(connection: AgentConnection, spec: ExecSpec, signal: AbortSignal | undefined): AgentProcess {
  const values = commandValues(spec).u64(TAG.TIMEOUT_MS, spec.timeoutMs);
  if (spec.tty !== undefined) values.u32(TAG.COLS, spec.tty.cols).u32(TAG.ROWS, spec.tty.rows);
  const hasInput = spec.stdin !== false;
  if (hasInput) values.u32(TAG.STDIN, 1);
  if (spec.socket === true) values.u32(TAG.SOCKET, 1);
  const what = spec.argv[0] ?? 'exec';
  const stream = connection.open(OP.EXEC, values, [STDOUT, STDERR], { what, signal });
  if (!hasInput) stream.input.destroy();
  const exited = stream.result.then(exitStatus);
  exited.catch(() => {}); // Who only reads the output hears of the error there.
  return {
    stdin: stream.input,
    stdout: stream.output(STDOUT),
    stderr: stream.output(STDERR),
    exited,
    resize: (cols, rows) => stream.control(CONTROL.RESIZE, new TlvWriter().u32(TAG.COLS, cols).u32(TAG.ROWS, rows)),
    kill: (name) => stream.control(CONTROL.SIGNAL, new TlvWriter().u32(TAG.SIGNAL, signalNumber(name))),
  };
}

/** @throws SkerryError `invalid`: no command, or a NUL byte in it */
export function commandValues(command: ExecSpec | ServiceSpec): TlvWriter {
  const values = new TlvWriter();
  if (command.argv.length === 0 || command.argv[0] === '') {
    throw new SkerryError('invalid', 'there is no command to run', { remedy: 'Name a program, as in -- uname -a.' });
  }
  for (const arg of command.argv) {
    if (arg.includes('\0')) {
      throw new SkerryError('invalid', 'an argument has a NUL byte', { remedy: 'Pass such bytes by stdin.' });
    }
    values.string(TAG.ARG, arg);
  }
  for (const entry of envEntries(command.env)) values.string(TAG.ENV, entry);
  return values.string(TAG.CWD, command.cwd).string(TAG.USER, command.user);
}

export function exitStatus(values: Tlvs): ExitStatus {
  if (values.has(TAG.SIGNAL)) return { exitCode: null, signal: signalName(values.within(TAG.SIGNAL, 1, 64)) };
  if (!values.has(TAG.EXIT_CODE)) throw protocolError('neither exit code nor signal');
  return { exitCode: values.within(TAG.EXIT_CODE, 0, 255), signal: null };
}

/** The host is Linux too, and so are its numbers. */
function signalNumber(signal: string | number): number {
  if (typeof signal === 'number') return signal;
  const name = signal.startsWith('SIG') ? signal : `SIG${signal}`;
  const number = Object.entries(constants.signals).find(([known]) => known === name)?.[1];
  if (number === undefined) {
    throw new SkerryError('invalid', `there is no signal ${signal}`, { remedy: 'Use a name like TERM, INT or KILL.' });
  }
  return number;
}

function signalName(number: number): string {
  return Object.entries(constants.signals).find(([, known]) => known === number)?.[0] ?? `SIG${number}`;
}
