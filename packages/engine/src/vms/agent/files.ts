import { createHash } from 'node:crypto';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { SkerryError } from '@skerry/api';
import type { AgentConnection } from './connection.ts';
import { cancelled, protocolError } from './errors.ts';
import { FILE_TYPES, OP, TAG } from './protocol.ts';
import { Tlvs, TlvWriter } from './tlv.ts';
import type { AgentFileEntry, FileDownload, PutOptions } from './types.ts';

const SHA256_BYTES = 32;
const BODY_CHANNEL = 1;
/** A folder's listing is held in memory: a guest must not choose how much. */
const MAX_LIST_BYTES = 64 * 1024 * 1024;

export async function putFile(
  connection: AgentConnection,
  path: string,
  source: Readable,
  options: PutOptions,
): Promise<{ sha256: string; bytes: number }> {
  const values = pathValues(path).u32(TAG.MODE, options.mode).u64(TAG.SIZE, options.sizeBytes);
  if (options.makeParents === true) values.u32(TAG.MAKE_PARENTS, 1);
  const sha = createHash('sha256');
  let digest: Buffer | undefined;
  const stream = connection.open(OP.PUT, values, [], {
    what: `put ${path}`,
    signal: options.signal,
    // With it the guest refuses what differs before it replaces the old file.
    endValues: () => new TlvWriter().bytes(TAG.SHA256, (digest = sha.digest())).end(),
  });
  async function* hashed(chunks: AsyncIterable<Buffer | string>): AsyncGenerator<Buffer> {
    for await (const chunk of chunks) {
      const data = typeof chunk === 'string' ? Buffer.from(chunk) : chunk;
      sha.update(data);
      yield data;
    }
  }
  const [sent, got] = await Promise.allSettled([
    pipeline(source, hashed, stream.input).catch((error: unknown) => {
      stream.reset(error instanceof Error ? error : new Error(String(error)));
      throw error;
    }),
    // A refusal ends the source at once, not when it would have been read through.
    stream.result.catch((error: unknown) => {
      source.destroy();
      throw error;
    }),
  ]);
  if (got.status === 'rejected') throw got.reason;
  if (sent.status === 'rejected') throw sent.reason;
  const sha256 = got.value.bytes(TAG.SHA256);
  if (digest === undefined || !sha256.equals(digest)) throw differs(path);
  return { sha256: sha256.toString('hex'), bytes: got.value.number(TAG.BYTES) };
}

export function getFile(connection: AgentConnection, path: string, signal: AbortSignal | undefined): FileDownload {
  const sha = createHash('sha256');
  let bytes = 0;
  let sha256 = '';
  const stream = connection.open(OP.GET, pathValues(path), [BODY_CHANNEL], {
    what: `get ${path}`,
    signal,
    onData: (_channel, data) => {
      sha.update(data);
      bytes += data.length;
    },
    onResult: (values) => {
      const expected = values.bytes(TAG.SHA256);
      const actual = sha.digest();
      if (expected.length !== SHA256_BYTES || !expected.equals(actual)) throw differs(path);
      if (values.number(TAG.BYTES) !== bytes) throw differs(path);
      sha256 = actual.toString('hex');
    },
  });
  const body = stream.output(BODY_CHANNEL);
  body.once('close', () => {
    // Its reader has gone before the end: the guest need not read on.
    if (!body.readableEnded) stream.reset(cancelled(`get ${path}`));
  });
  const done = stream.result.then((values) => ({ sha256, bytes, mode: values.within(TAG.MODE, 0, 0o7777) }));
  done.catch(() => {});
  return { body, done };
}

export async function listFolder(
  connection: AgentConnection,
  path: string,
  signal: AbortSignal | undefined,
): Promise<AgentFileEntry[]> {
  let total = 0;
  const stream = connection.open(OP.LIST, pathValues(path), [BODY_CHANNEL], {
    what: `list ${path}`,
    signal,
    onData: (_channel, data) => {
      total += data.length;
      if (total > MAX_LIST_BYTES) throw protocolError('a folder without end');
    },
  });
  const chunks: Buffer[] = [];
  for await (const chunk of stream.output(BODY_CHANNEL)) chunks.push(chunk as Buffer);
  await stream.result;
  const entries = Tlvs.parse(Buffer.concat(chunks)).all(TAG.ENTRY).map(fileEntry);
  return entries.sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** @throws SkerryError `failed`: not an entry, or a name that could lead out of its folder */
export function fileEntry(bytes: Buffer): AgentFileEntry {
  const values = Tlvs.parse(bytes);
  const name = values.string(TAG.NAME);
  // A hostile guest's `../../etc/passwd` must not reach a copy that writes on the host.
  if (name === '' || name === '.' || name === '..' || (name !== '/' && name.includes('/')) || name.includes('\0')) {
    throw protocolError('a file name that can not be one');
  }
  const type = FILE_TYPES[values.number(TAG.TYPE)];
  if (type === undefined) throw protocolError('a file type that can not be one');
  return {
    name,
    type,
    sizeBytes: values.number(TAG.SIZE),
    mode: values.within(TAG.MODE, 0, 0o7777),
    mtimeMs: values.signed(TAG.MTIME_MS),
  };
}

/** @throws SkerryError `invalid`: not absolute, or a NUL byte in it */
export function pathValues(path: string): TlvWriter {
  if (!path.startsWith('/') || path.includes('\0')) {
    throw new SkerryError('invalid', `${JSON.stringify(path)} is not a path in the guest`, {
      remedy: 'Write it from the root, as in /etc/hostname.',
    });
  }
  return new TlvWriter().string(TAG.PATH, path);
}

function differs(path: string): SkerryError {
  return new SkerryError('failed', `${path}: what arrived differs from what was sent`, { remedy: 'Try again.' });
}
