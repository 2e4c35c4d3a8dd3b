import { SkerryError, type ExecReply } from '@skerry/api';
import type { WebSocket } from '@fastify/websocket';
import { ZodError } from 'zod';

/** Any thrown value as an answer. */

/** RFC 6455 section 7.4.1. */
const CLOSE_NORMAL = 1000;

export function problemOf(error: unknown): SkerryError {
  if (error instanceof ZodError) {
    const [first] = error.issues;
    const where = first === undefined || first.path.length === 0 ? '' : `${first.path.join('.')}: `;
    return new SkerryError('invalid', `${where}${first?.message ?? 'not valid'}`, {
      remedy: 'Correct it and try again; --help shows what is possible.',
      details: { issues: error.issues },
    });
  }
  const status = (error as { statusCode?: unknown }).statusCode;
  if (!(error instanceof SkerryError) && typeof status === 'number' && status < 500) {
    return new SkerryError('invalid', (error as Error).message, { remedy: 'Correct the request.', cause: error });
  }
  return SkerryError.from(error);
}

/** The last message of a WebSocket, then its orderly end. */
export function finish(socket: WebSocket, reply: ExecReply): void {
  if (socket.readyState !== socket.OPEN) return;
  socket.send(JSON.stringify(reply));
  socket.close(CLOSE_NORMAL);
}
