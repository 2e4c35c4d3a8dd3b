import { SkerryError, type ErrorCode } from '@skerry/api';

/** The guest broke the protocol: its connection is given up. Its words may be hostile, so none are repeated. */
export function protocolError(what: string): SkerryError {
  return new SkerryError('failed', `the guest agent broke its protocol: ${what}`, {
    remedy: 'Restart the VM; if it happens again, its image has a foreign or damaged agent.',
  });
}

export function connectionLost(cause?: unknown): SkerryError {
  return new SkerryError('unavailable', 'the connection to the guest agent was lost', {
    remedy: 'See whether the VM still runs (skerry info), then try again.',
    details: { connection: 'lost' },
    ...(cause === undefined ? {} : { cause }),
  });
}

export function isConnectionLost(error: unknown): boolean {
  return error instanceof SkerryError && error.details?.['connection'] === 'lost';
}

export function cancelled(what: string, cause?: unknown): SkerryError {
  return new SkerryError('cancelled', `${what} was cancelled`, cause === undefined ? {} : { cause });
}

/** Linux errno (asm-generic/errno.h) -> our code and what to do about it. */
const ERRNOS: Readonly<Record<number, readonly [ErrorCode, string]>> = {
  1: ['refused', 'Run it as root in the guest, or choose another path.'],
  2: ['not-found', 'Check the path or the name inside the guest.'],
  12: ['no-space', 'Give the VM more memory.'],
  13: ['refused', 'Check the permissions inside the guest.'],
  16: ['in-use', 'Stop what uses it in the guest, then try again.'],
  17: ['conflict', 'Choose another name, or remove what is there.'],
  19: ['invalid', 'Compare the NICs of the VM with the addresses it was given.'],
  20: ['invalid', 'A part of the path is a file; check the path.'],
  21: ['invalid', 'The path is a directory; name a file in it.'],
  22: ['invalid', 'Check the values that were given.'],
  24: ['unavailable', 'Wait until other commands in this VM have ended.'],
  27: ['no-space', 'The file is too large for this file system.'],
  28: ['no-space', 'Free some room in the guest, or give it a larger disk.'],
  30: ['refused', 'The guest mounted this file system read-only; choose another path.'],
  36: ['invalid', 'Use a shorter name.'],
  38: ['unsupported', 'Restart the VM with a current image: its agent is older.'],
  40: ['invalid', 'The path has a loop of symbolic links.'],
  74: ['failed', 'The data did not arrive as sent; try again.'],
  90: ['failed', 'The source changed its size while it was copied; try again.'],
  95: ['unsupported', 'This guest can not do it.'],
  104: ['unavailable', 'Something in the guest closed the connection; try again.'],
  110: ['timeout', 'Allow it more time, or see what the guest is busy with.'],
  111: ['unavailable', 'See whether the program in the guest listens on that port.'],
  113: ['unavailable', 'See whether that address can be reached from the guest.'],
};

/** An operation failed in the guest; `errno` and the guest's text are in details. */
export function guestError(what: string, errno: number, text: string): SkerryError {
  const [code, remedy] = ERRNOS[errno] ?? (['failed', 'See the console of the VM for more.'] as const);
  return new SkerryError(code, `${what}: ${printable(text)}`, { remedy, details: { errno } });
}

/** A hostile guest must not steer the reader's terminal. */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}]/gu, '?').slice(0, 600);
}
