import type { IncomingMessage } from 'node:http';
import { type ErrorBody, SkerryError } from '@skerry/api/base';

const MAX_PROBLEM_BYTES = 4 * 1024 * 1024;

/** The error that an answer with a status of 400 or more carries (RFC 9457, with our members). */
export async function readProblem(response: IncomingMessage): Promise<SkerryError> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      if (bytes > MAX_PROBLEM_BYTES) break;
      chunks.push(chunk);
    }
  } catch {
    // A connection cut in the middle of an error: what has come must do.
  }
  const text = Buffer.concat(chunks).toString();
  const body = parseBody(text);
  if (body !== undefined) return SkerryError.fromBody(body);
  return new SkerryError('internal', `The daemon answered ${response.statusCode}: ${text.slice(0, 200)}`, {
    remedy: 'Is it Skerry that listens there? See `skerry daemon logs`.',
  });
}

function parseBody(text: string): ErrorBody | undefined {
  try {
    const body: unknown = JSON.parse(text);
    if (typeof body !== 'object' || body === null) return undefined;
    return 'code' in body && 'message' in body && typeof body.message === 'string' ? (body as ErrorBody) : undefined;
  } catch {
    return undefined;
  }
}

/** What a failed connection means to the reader. */
export function connectionError(error: unknown, where: string): SkerryError {
  if (error instanceof SkerryError) return error;
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  if (code === 'ABORT_ERR') return new SkerryError('cancelled', 'Cancelled', { cause: error });
  if (code === 'EACCES' || code === 'EPERM') {
    return new SkerryError('refused', `You may not use the daemon at ${where}`, {
      remedy: "Become a member of its group 'skerry' (it is as good as root), or leave out --host to use your own.",
      cause: error,
    });
  }
  const reason = error instanceof Error ? error.message : String(error);
  return new SkerryError('unavailable', `The daemon at ${where} does not answer: ${reason}`, {
    remedy: 'Start it with `skerry daemon start`; see `skerry daemon logs` for why it ended.',
    cause: error,
  });
}
