import { generateKeyPair, randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, readFile, realpath, rename, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { keyPairText } from './key-format.ts';

/** What is kept for ssh, in a directory of this user's: a key pair, and the host keys of VMs as they were last seen. */

const KEY_DIR = 'key';
const KEY_NAME = 'id_ed25519';

export interface OwnKey {
  readonly privateKeyPath: string;
  /** As in authorized_keys. */
  readonly publicKey: string;
}

/** The key that this user's ssh logs in with; made when it is first needed. */
export async function ownKey(sshDir: string): Promise<OwnKey> {
  const known = await readKey(sshDir);
  if (known !== undefined) return known;
  await mkdir(sshDir, { recursive: true, mode: 0o700 });
  // Both files appear at once, and of two who make one at the same time the second takes the first's.
  const work = await mkdtemp(join(sshDir, '.key-'));
  try {
    const { privateKey } = await promisify(generateKeyPair)('ed25519');
    const { d = '', x = '' } = privateKey.export({ format: 'jwk' });
    const [seed, publicKey] = [d, x].map((text) => Buffer.from(text, 'base64url')) as [Buffer, Buffer];
    const { privateText, publicText } = keyPairText(seed, publicKey, randomBytes(4), 'skerry');
    await writeFile(join(work, KEY_NAME), privateText, { mode: 0o600 });
    await writeFile(join(work, `${KEY_NAME}.pub`), `${publicText}\n`);
    await rename(work, join(sshDir, KEY_DIR)).catch(async (error: unknown) => {
      if ((await readKey(sshDir)) === undefined) throw error;
    });
  } finally {
    await rm(work, { recursive: true, force: true });
  }
  return (await readKey(sshDir)) as OwnKey;
}

async function readKey(sshDir: string): Promise<OwnKey | undefined> {
  const privateKeyPath = join(sshDir, KEY_DIR, KEY_NAME);
  try {
    return { privateKeyPath, publicKey: (await readFile(`${privateKeyPath}.pub`, 'utf8')).trim() };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

export function knownHostsDir(sshDir: string): string {
  return join(sshDir, 'known_hosts');
}

/** A file per name: several connections at once do not write over what others have found. */
export async function rememberHost(sshDir: string, host: string, hostKeys: readonly string[]): Promise<void> {
  const file = join(knownHostsDir(sshDir), host);
  await mkdir(dirname(file), { recursive: true, mode: 0o700 });
  // ssh looks it up in small letters.
  const text = hostKeys.map((key) => `${host.toLowerCase()} ${key}\n`).join('');
  await replaceFile(file, text, 0o600);
}

/** Puts one line first in a file, unless it is in it. @returns false: it was */
export async function putFirst(path: string, line: string): Promise<boolean> {
  // People keep such files elsewhere, with a link in this place.
  const file = await realpath(path).catch(() => path);
  const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return '';
    throw error;
  });
  if (text.split('\n').some((each) => each.trim() === line)) return false;
  const mode = await stat(file).then(
    (found) => found.mode & 0o777,
    () => 0o600,
  );
  await replaceFile(file, text === '' ? `${line}\n` : `${line}\n\n${text}`, mode);
  return true;
}

/** Whoever reads it meanwhile finds the old text or the new one. */
export async function replaceFile(path: string, text: string, mode: number): Promise<void> {
  if ((await readFile(path, 'utf8').catch(() => undefined)) === text) return;
  const work = `${path}.${randomBytes(4).toString('hex')}`;
  try {
    await writeFile(work, text, { mode });
    await rename(work, path);
  } catch (error) {
    await rm(work, { force: true });
    throw error;
  }
}
