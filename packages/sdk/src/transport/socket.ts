import WebSocket from 'ws';
import { SkerryError } from '@skerry/api/base';
import type { HttpTransport } from './http.ts';
import { connectionError, readProblem } from './problem.ts';

/** More than a frame of any stream; a daemon that sends more is none of ours. */
const MAX_MESSAGE_BYTES = 4 * 1024 * 1024;

/**
 * A WebSocket to the daemon. Compression is off: it costs milliseconds and memory, and the way is local.
 * `onFailure` is called at most once, before 'close': refused by the daemon, or the connection was lost.
 */
export function openSocket(transport: HttpTransport, path: string, onFailure: (error: SkerryError) => void): WebSocket {
  const socket = new WebSocket(`ws://skerry${path}`, {
    createConnection: () => transport.connect(),
    perMessageDeflate: false,
    maxPayload: MAX_MESSAGE_BYTES,
    // Text comes from our own daemon, and JSON.parse replaces what is no UTF-8.
    skipUTF8Validation: true,
  });
  let refused = false;
  socket.on('unexpected-response', (_request, response) => {
    refused = true;
    void readProblem(response).then((problem) => {
      onFailure(problem);
      socket.terminate();
    });
  });
  socket.on('error', (error) => {
    if (!refused) onFailure(connectionError(error, transport.where));
  });
  return socket;
}
