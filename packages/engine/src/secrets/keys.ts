import { open, readFile, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { SkerryError } from '@skerry/api';
import { KEY_BYTES, keyOf, newKey, type SealKey } from './seal.ts';

/**
 * The keys that secrets are encrypted with: a file that only we may read, or a credential of systemd (systemd.exec(5),
 * "Credentials": on a file system in memory, and encrypted at rest by the host's TPM or key). While keys are changed there
 * are several; the first is the one to encrypt with.
 */
export interface KeyPlaces {
  /** JSON: {version: 1, keys: [base64, ...]} */
  readonly path: string;
  /** systemd's $CREDENTIALS_DIRECTORY. */
  readonly credentials?: string | undefined;
}

/** `LoadCredential=` or `LoadCredentialEncrypted=` of this name: 32 bytes. */
export const CREDENTIAL_NAME = 'skerry-secret-key';

export class KeyRing {
  readonly #places: KeyPlaces;

  constructor(places: KeyPlaces) {
    this.#places = places;
  }

  /** The key to encrypt with; made when there is none. */
  async current(): Promise<SealKey> {
    const [first] = await this.#all();
    if (first !== undefined) return first;
    const made = newKey();
    await this.#write([made]);
    return made;
  }

  async find(id: string): Promise<SealKey | undefined> {
    return (await this.#all()).find((key) => key.id === id);
  }

  /** A new key to encrypt with; those before stay until `forgetOthers`. With a credential, the new key is that. */
  async renew(): Promise<SealKey> {
    const credential = await this.#credential();
    if (credential !== undefined) return credential;
    const made = newKey();
    await this.#write([made, ...(await this.#kept())]);
    return made;
  }

  async forgetOthers(key: SealKey): Promise<void> {
    if ((await this.#credential())?.id === key.id) await rm(this.#places.path, { force: true });
    else await this.#write([key]);
  }

  async #all(): Promise<SealKey[]> {
    const credential = await this.#credential();
    return [...(credential === undefined ? [] : [credential]), ...(await this.#kept())];
  }

  async #credential(): Promise<SealKey | undefined> {
    const { credentials } = this.#places;
    if (credentials === undefined || credentials === '') return undefined;
    const path = join(credentials, CREDENTIAL_NAME);
    const bytes = await readIfThere(path);
    if (bytes === undefined) return undefined;
    if (bytes.length !== KEY_BYTES) {
      throw new SkerryError('failed', `The credential ${CREDENTIAL_NAME} has ${bytes.length} bytes, not ${KEY_BYTES}`, {
        remedy: `Make one: head -c ${KEY_BYTES} /dev/urandom | systemd-creds encrypt --name=${CREDENTIAL_NAME} - FILE`,
      });
    }
    return keyOf(bytes);
  }

  async #kept(): Promise<SealKey[]> {
    const { path } = this.#places;
    const text = await readIfThere(path);
    if (text === undefined) return [];
    if (((await stat(path)).mode & 0o077) !== 0) {
      throw new SkerryError('refused', `${path} can be read by other users, and it holds the key of the secrets`, {
        remedy: `chmod 600 ${path}; then \`skerry secret rotate-key\`, if somebody may have read it.`,
      });
    }
    return parseKeys(text.toString('utf8'), path);
  }

  /** The old file or the new one. */
  async #write(keys: readonly SealKey[]): Promise<void> {
    const { path } = this.#places;
    const file = await open(`${path}.new`, 'w', 0o600);
    try {
      const text = JSON.stringify({ version: 1, keys: keys.map(({ bytes }) => bytes.toString('base64')) });
      await file.writeFile(`${text}\n`);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(`${path}.new`, path);
    // Without its name on disk, what is encrypted next would be lost with the machine's power.
    const directory = await open(join(path, '..'), 'r');
    try {
      await directory.sync();
    } finally {
      await directory.close();
    }
  }
}

/** What is wrong with the file is said without what is in it. */
function parseKeys(text: string, path: string): SealKey[] {
  const damaged = (why: string): SkerryError =>
    new SkerryError('failed', `${path} ${why}`, {
      remedy: 'Put it back from a backup, or remove it and set each secret again (`skerry secret list`).',
    });
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    throw damaged('is damaged');
  }
  const { version, keys } = (parsed ?? {}) as { version?: unknown; keys?: unknown };
  if (version !== 1) throw damaged(`has version ${Number(version)}; this Skerry knows 1`);
  if (!Array.isArray(keys) || keys.length === 0) throw damaged('is damaged');
  return keys.map((key: unknown) => {
    const bytes = Buffer.from(typeof key === 'string' ? key : '', 'base64');
    if (bytes.length !== KEY_BYTES) throw damaged('is damaged');
    return keyOf(bytes);
  });
}

async function readIfThere(path: string): Promise<Buffer | undefined> {
  return readFile(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
}
