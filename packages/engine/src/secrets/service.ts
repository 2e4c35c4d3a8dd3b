import { MAX_SECRET_BYTES, SkerryError, type Node, type Secret, type SecretUse, type Vm } from '@skerry/api';
import type { EventLog } from '../events/index.ts';
import { refOf, type Resources } from '../store/index.ts';
import type { KeyRing } from './keys.ts';
import { guestSecrets, missingSecret, usersOf, type GuestSecrets } from './plan.ts';
import { seal, unseal, type Sealed } from './seal.ts';

/** Secrets: kept encrypted, and opened only for a guest that is starting. */

export const SECRET_KIND = { kind: 'secret', collection: 'secrets' } as const;

export interface SecretSpec {
  /** Raised whenever the value is set. */
  readonly version: number;
  readonly sealed: Sealed;
}

export interface SecretPorts {
  readonly secrets: Resources<SecretSpec, object>;
  readonly keys: KeyRing;
  readonly vms: () => Promise<readonly Vm[]>;
  readonly nodes: () => Promise<readonly Node[]>;
  readonly events: EventLog;
}

type SecretResource = Awaited<ReturnType<SecretPorts['secrets']['get']>>;

export class SecretService {
  readonly #ports: SecretPorts;
  /** One change after the other: nothing may be encrypted with a key that is just being forgotten. */
  #changing: Promise<unknown> = Promise.resolve();

  constructor(ports: SecretPorts) {
    this.#ports = ports;
  }

  async list(): Promise<Secret[]> {
    const { items } = await this.#ports.secrets.list();
    const [vms, nodes] = await Promise.all([this.#ports.vms(), this.#ports.nodes()]);
    return items.map((secret) => shown(secret, vms, nodes)).toSorted((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** @throws SkerryError `not-found` */
  async get(name: string): Promise<Secret> {
    return this.#show(await this.#named(name));
  }

  /** @throws SkerryError `invalid` (nothing, or more than 64 KiB) */
  set(name: string, value: Buffer): Promise<Secret> {
    if (value.length === 0 || value.length > MAX_SECRET_BYTES) {
      throw new SkerryError('invalid', `A secret has 1 to ${MAX_SECRET_BYTES} bytes, not ${value.length}`, {
        remedy: value.length === 0 ? 'Give it a value.' : 'Encrypt the file with a key, and make the key the secret.',
      });
    }
    return this.#inTurn(async () => {
      const { secrets, keys, events } = this.#ports;
      const key = await keys.current();
      const sealedAs = (project: string, version: number): SecretSpec => ({
        version,
        sealed: seal(value, key, { project, name, version }),
      });
      const before = await secrets.findByName(name);
      const after =
        before === undefined
          ? await secrets.create({ name, spec: sealedAs('default', 1), status: {} })
          : await secrets.update(before.id, ({ project, spec }) => ({ spec: sealedAs(project, spec.version + 1) }));
      void events.emit({
        type: 'secret.set',
        subject: refOf(after),
        message: before === undefined ? `The secret ${name} was made` : `The secret ${name} has another value`,
      });
      return this.#show(after);
    });
  }

  /** @throws SkerryError `not-found`, `in-use` */
  delete(name: string): Promise<void> {
    return this.#inTurn(async () => {
      const { secrets, events } = this.#ports;
      const secret = await this.#named(name);
      const { usedBy } = await this.#show(secret);
      if (usedBy.length > 0) {
        throw new SkerryError('in-use', `The secret '${name}' is used by ${usedBy.join(', ')}`, {
          remedy: `Take it out of ${usedBy.length === 1 ? 'its' : 'their'} declaration or delete ${usedBy.length === 1 ? 'it' : 'them'} first; to change its value: \`skerry secret set ${name}\`.`,
          details: { usedBy },
        });
      }
      await secrets.delete(secret.id);
      void events.emit({ type: 'secret.deleted', subject: refOf(secret), message: `The secret ${name} was deleted` });
    });
  }

  /** Encrypts all of them with a new key, and forgets the old one. Cut off at any point, each can still be read. */
  rotateKey(): Promise<{ secrets: number }> {
    return this.#inTurn(async () => {
      const { secrets, keys, events } = this.#ports;
      const { items } = await secrets.list();
      // What can't be read must not lose the key that it might be read with.
      for (const secret of items) await this.#valueOf(secret);
      const key = await keys.renew();
      for (const secret of items) {
        const { project, name, spec } = secret;
        const value = await this.#valueOf(secret);
        const sealed = seal(value, key, { project, name, version: spec.version });
        await secrets.update(secret.id, () => ({ spec: { ...spec, sealed } }));
      }
      await keys.forgetOthers(key);
      void events.emit({ type: 'secret.key-rotated', message: `${items.length} secrets have a new key` });
      return { secrets: items.length };
    });
  }

  /** @throws SkerryError `not-found`: one that is named is not there */
  async assertThere(uses: readonly SecretUse[]): Promise<void> {
    for (const { secret } of uses) await this.#named(secret);
  }

  /** @throws SkerryError `not-found`, `invalid` (it can't be a variable), `failed` (it can't be decrypted) */
  async open(uses: readonly SecretUse[]): Promise<GuestSecrets> {
    const values = new Map<string, Buffer>();
    for (const { secret } of uses) values.set(secret, await this.#valueOf(await this.#named(secret)));
    return guestSecrets(uses, values);
  }

  async #valueOf({ project, name, spec }: SecretResource): Promise<Buffer> {
    const key = await this.#ports.keys.find(spec.sealed.keyId);
    const value = key === undefined ? undefined : unseal(spec.sealed, key, { project, name, version: spec.version });
    if (value !== undefined) return value;
    const why =
      key === undefined ? 'the key that it was encrypted with is gone' : 'it is damaged, or was tampered with';
    throw new SkerryError('failed', `The secret '${name}' can't be read: ${why}`, {
      remedy: `${key === undefined ? 'Put the key back from a backup, or set' : 'Set'} it again: \`skerry secret set ${name}\`.`,
      details: { secret: name },
    });
  }

  async #named(name: string): Promise<SecretResource> {
    const secret = await this.#ports.secrets.findByName(name);
    if (secret === undefined) throw missingSecret(name);
    return secret;
  }

  async #show(secret: SecretResource): Promise<Secret> {
    return shown(secret, await this.#ports.vms(), await this.#ports.nodes());
  }

  #inTurn<T>(body: () => Promise<T>): Promise<T> {
    const done = this.#changing.then(body);
    this.#changing = done.catch(() => undefined);
    return done;
  }
}

function shown(
  { id, name, createdAt, updatedAt, spec }: SecretResource,
  vms: readonly Vm[],
  nodes: readonly Node[],
): Secret {
  return { name, id, version: spec.version, createdAt, updatedAt, usedBy: usersOf(name, vms, nodes) };
}
