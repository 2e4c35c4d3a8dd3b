import { createCipheriv, createDecipheriv, createHash, randomBytes } from 'node:crypto';

/** AES-256-GCM (NIST SP 800-38D), with what the value belongs to as associated data: it opens nowhere else. */

export const KEY_BYTES = 32;
/** SP 800-38D section 8.2.2: random nonces of 96 bits, for at most 2^32 messages with one key. */
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const ALGORITHM = 'aes-256-gcm';

export interface SealKey {
  readonly id: string;
  readonly bytes: Buffer;
}

/** Bytes are in base64. */
export interface Sealed {
  readonly keyId: string;
  readonly nonce: string;
  readonly ciphertext: string;
  readonly tag: string;
}

/** Whose value it is. */
export interface Belonging {
  readonly project: string;
  readonly name: string;
  readonly version: number;
}

export function newKey(): SealKey {
  return keyOf(randomBytes(KEY_BYTES));
}

/** The id tells keys apart and nothing of the key. */
export function keyOf(bytes: Buffer): SealKey {
  return { id: createHash('sha256').update('skerry-key-id').update(bytes).digest('hex').slice(0, 16), bytes };
}

export function seal(value: Uint8Array, key: SealKey, belonging: Belonging): Sealed {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv(ALGORITHM, key.bytes, nonce, { authTagLength: TAG_BYTES });
  cipher.setAAD(associatedData(belonging));
  const ciphertext = Buffer.concat([cipher.update(value), cipher.final()]);
  return {
    keyId: key.id,
    nonce: nonce.toString('base64'),
    ciphertext: ciphertext.toString('base64'),
    tag: cipher.getAuthTag().toString('base64'),
  };
}

/** Undefined when it was changed, or sealed as something else or with another key. */
export function unseal(sealed: Sealed, key: SealKey, belonging: Belonging): Buffer | undefined {
  const nonce = Buffer.from(sealed.nonce, 'base64');
  const tag = Buffer.from(sealed.tag, 'base64');
  if (nonce.length !== NONCE_BYTES || tag.length !== TAG_BYTES) return undefined;
  const decipher = createDecipheriv(ALGORITHM, key.bytes, nonce, { authTagLength: TAG_BYTES });
  decipher.setAAD(associatedData(belonging));
  decipher.setAuthTag(tag);
  try {
    return Buffer.concat([decipher.update(Buffer.from(sealed.ciphertext, 'base64')), decipher.final()]);
  } catch {
    return undefined;
  }
}

/** No part can hold a zero byte, so no two belongings give the same. */
function associatedData({ project, name, version }: Belonging): Buffer {
  return Buffer.from(['skerry-secret/1', project, name, version].join('\0'));
}
