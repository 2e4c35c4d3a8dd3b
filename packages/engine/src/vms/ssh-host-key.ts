import { generateKeyPair } from 'node:crypto';
import { Readable } from 'node:stream';
import { promisify } from 'node:util';
import { SkerryError } from '@skerry/api';
import type { AgentClient } from './agent/index.ts';

/**
 * The host keys of guests' ssh servers. Made here, as the server's own program takes a second for it under emulation, when one
 * is first needed; they stay on the VM's disk. Their files are called after the VM's id: a fork, which has another one than its
 * original, gets a key of its own.
 */

const DIR = '/var/lib/skerry';
const KEY_BYTES = 32;
const TYPE = 'ssh-ed25519';
/** dropbear's own form (buf_put_ed25519_priv_key of its source): type, then seed and public key as one string. */
const HEAD = Buffer.concat([string(TYPE), number(2 * KEY_BYTES)]);
const FILE_BYTES = HEAD.length + 2 * KEY_BYTES;

export interface HostKey {
  /** In the guest. */
  readonly path: string;
  /** As in a known_hosts file: `ssh-ed25519 AAAA...` */
  readonly publicKey: string;
}

/** @param id of the VM. Not twice at once for one VM: two first connections have to find the same key. */
export async function hostKeyOf(agent: AgentClient, id: string, signal: AbortSignal): Promise<HostKey> {
  const path = `${DIR}/ssh-host-key-${id}`;
  const known = await read(agent, path, signal);
  if (known !== undefined) return { path, publicKey: publicKeyOf(known) };
  // Of the machine that this one is a fork of.
  await agent.exec({ argv: ['sh', '-c', `rm -f ${DIR}/ssh-host-key-*`], stdin: false }, { signal }).exited;
  const made = await make();
  await agent.put(path, Readable.from([made]), { mode: 0o600, makeParents: true, signal });
  return { path, publicKey: publicKeyOf(made) };
}

/** Undefined: there is none, or something else in its place. */
async function read(agent: AgentClient, path: string, signal: AbortSignal): Promise<Buffer | undefined> {
  try {
    const { sizeBytes } = await agent.stat(path, { signal });
    if (sizeBytes !== FILE_BYTES) return undefined;
    const { body, done } = agent.get(path, { signal });
    done.catch(() => undefined); // The body reports it too.
    const chunks: Buffer[] = [];
    for await (const chunk of body as AsyncIterable<Buffer>) chunks.push(chunk);
    const bytes = Buffer.concat(chunks);
    return bytes.length === FILE_BYTES && bytes.subarray(0, HEAD.length).equals(HEAD) ? bytes : undefined;
  } catch (error) {
    if (SkerryError.from(error).code === 'not-found') return undefined;
    throw error;
  }
}

async function make(): Promise<Buffer> {
  const { privateKey } = await promisify(generateKeyPair)('ed25519');
  const { d = '', x = '' } = privateKey.export({ format: 'jwk' });
  return Buffer.concat([HEAD, Buffer.from(d, 'base64url'), Buffer.from(x, 'base64url')]);
}

/** RFC 8709 section 4. */
function publicKeyOf(file: Buffer): string {
  const blob = Buffer.concat([string(TYPE), number(KEY_BYTES), file.subarray(-KEY_BYTES)]);
  return `${TYPE} ${blob.toString('base64')}`;
}

function number(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

function string(text: string): Buffer {
  return Buffer.concat([number(text.length), Buffer.from(text)]);
}
