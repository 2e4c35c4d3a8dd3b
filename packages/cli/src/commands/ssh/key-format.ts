/**
 * Pure: an Ed25519 key pair in OpenSSH's own form (PROTOCOL.key of its source, RFC 8709 for the public half). OpenSSH reads
 * this key type in no other before 9.6.
 */

const TYPE = 'ssh-ed25519';
const MAGIC = 'openssh-key-v1\0';
/** Of the cipher `none`. */
const BLOCK_BYTES = 8;

export interface KeyPairText {
  readonly privateText: string;
  /** As in authorized_keys. */
  readonly publicText: string;
}

/**
 * @param seed the private half, 32 bytes
 * @param publicKey 32 bytes
 * @param check any 4 bytes: they are in it twice, to tell a wrong passphrase
 */
export function keyPairText(seed: Buffer, publicKey: Buffer, check: Buffer, comment: string): KeyPairText {
  const publicBlob = Buffer.concat([string(TYPE), string(publicKey)]);
  const body = Buffer.concat([
    ...[check, check, publicBlob, string(Buffer.concat([seed, publicKey]))],
    string(comment),
  ]);
  const padding = Buffer.from(Array.from({ length: -body.length & (BLOCK_BYTES - 1) }, (_, index) => index + 1));
  const whole = Buffer.concat([
    ...[Buffer.from(MAGIC), string('none'), string('none'), string(''), number(1), string(publicBlob)],
    string(Buffer.concat([body, padding])),
  ]);
  const lines = whole.toString('base64').match(/.{1,70}/g) ?? [];
  const [begin, end] = ['BEGIN', 'END'].map((which) => `-----${which} OPENSSH PRIVATE KEY-----`);
  return {
    privateText: [begin, ...lines, end, ''].join('\n'),
    publicText: `${TYPE} ${publicBlob.toString('base64')} ${comment}`,
  };
}

function number(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

function string(value: string | Buffer): Buffer {
  const bytes = Buffer.from(value as string);
  return Buffer.concat([number(bytes.length), bytes]);
}
