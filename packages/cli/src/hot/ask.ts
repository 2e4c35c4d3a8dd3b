import { connect } from 'node:net';

const GIVE_UP_MS = 10_000;

/**
 * One GET, or with a body POST, over a unix socket with nothing but node:net: loading node:http takes longer than all of `skerry list` may.
 * Whatever is not a plain 200 gives undefined, and the full command line then finds out and tells.
 */
export function ask(
  socketPath: string,
  path: string,
  { body, giveUpMs = GIVE_UP_MS }: { readonly body?: unknown; readonly giveUpMs?: number } = {},
): Promise<unknown> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    const socket = connect(socketPath, () => {
      const head = `${path} HTTP/1.1\r\nhost: skerry\r\naccept: application/json\r\nconnection: close\r\n`;
      if (body === undefined) return void socket.write(`GET ${head}\r\n`);
      const data = Buffer.from(JSON.stringify(body));
      socket.write(`POST ${head}content-type: application/json\r\ncontent-length: ${data.length}\r\n\r\n`);
      socket.write(data);
    });
    socket.setTimeout(giveUpMs, () => socket.destroy());
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    socket.once('error', () => resolve(undefined));
    socket.once('close', () => resolve(parseAnswer(Buffer.concat(chunks))));
  });
}

/** The JSON of an HTTP/1.1 answer that came with a length. */
export function parseAnswer(answer: Buffer): unknown {
  const end = answer.indexOf('\r\n\r\n');
  if (end === -1) return undefined;
  const head = answer.toString('latin1', 0, end);
  const length = /^content-length: *(\d+)/im.exec(head)?.[1];
  const body = answer.subarray(end + 4);
  if (!/^HTTP\/1\.[01] 200 /.test(head) || length === undefined || body.length !== Number(length)) return undefined;
  try {
    return JSON.parse(body.toString());
  } catch {
    return undefined;
  }
}
