import { randomBytes } from 'node:crypto';
import { chmod, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as fc from '@skerry/testkit/properties';
import { afterAll, beforeEach, describe, expect, test } from 'vitest';
import type { Node, Vm } from '@skerry/api';
import { EventLog } from '../../src/events/index.ts';
import { CREDENTIAL_NAME, KeyRing, SECRET_KIND, SecretService, type SecretSpec } from '../../src/secrets/index.ts';
import { guestSecrets, usersOf } from '../../src/secrets/plan.ts';
import { newKey, seal, unseal } from '../../src/secrets/seal.ts';
import { Resources, type Store } from '../../src/store/index.ts';
import { TemporaryStores } from '../store/temporary-store.ts';

const stores = new TemporaryStores();
const directory = await mkdtemp(join(tmpdir(), 'skerry-secrets-'));
afterAll(async () => {
  await stores[Symbol.asyncDispose]();
  await rm(directory, { recursive: true, force: true });
});

const code = (value: string) => expect.objectContaining({ code: value, remedy: expect.any(String) });
const VALUE = Buffer.from('correct horse battery staple');
const password = { project: 'default', name: 'db-password', version: 3 };

describe('sealing', () => {
  test('what is sealed opens again, and no two seals are the same', () => {
    const key = newKey();
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 4096 }), (bytes) => {
        const sealed = seal(bytes, key, password);
        expect(unseal(sealed, key, password)?.equals(bytes)).toBe(true);
        expect(seal(bytes, key, password)).not.toEqual(sealed);
      }),
      { numRuns: 50 },
    );
  });

  const key = newKey();
  const sealed = seal(VALUE, key, password);
  const flipped = (base64: string): string => {
    const bytes = Buffer.from(base64, 'base64');
    bytes[0] = (bytes[0] ?? 0) ^ 1;
    return bytes.toString('base64');
  };
  test.each([
    ['another name', sealed, key, { ...password, name: 'other' }],
    ['an earlier version', sealed, key, { ...password, version: 2 }],
    ['another project', sealed, key, { ...password, project: 'theirs' }],
    ['another key', sealed, newKey(), password],
    ['a changed text', { ...sealed, ciphertext: flipped(sealed.ciphertext) }, key, password],
    ['a changed tag', { ...sealed, tag: flipped(sealed.tag) }, key, password],
    ['a tag cut short', { ...sealed, tag: sealed.tag.slice(0, 8) }, key, password],
    ['a changed nonce', { ...sealed, nonce: flipped(sealed.nonce) }, key, password],
  ])('it does not open for %s', (_, given, withKey, as) => expect(unseal(given, withKey, as)).toBeUndefined());
});

describe('what a guest is given', () => {
  const values = new Map([
    ['a', Buffer.from('A')],
    ['binary', Buffer.from([0xff, 1])],
    ['nul', Buffer.from('x\0y')],
    ['long', Buffer.alloc(9000, 'x')],
  ]);
  test('files in memory, links to them, variables', () => {
    const uses = [{ secret: 'a' }, { secret: 'binary', path: '/etc/app/key' }, { secret: 'a', env: 'PASSWORD' }];
    expect(guestSecrets(uses, values)).toEqual({
      env: { PASSWORD: 'A' },
      files: [
        { path: '/run/secrets/a', link: undefined, content: values.get('a') },
        { path: '/run/secrets/binary', link: '/etc/app/key', content: values.get('binary') },
      ],
    });
  });
  test.each(['binary', 'nul', 'long'])('%s can not be a variable, and its value is not told', (secret) => {
    const give = () => guestSecrets([{ secret, env: 'X' }], values);
    expect(give).toThrow(code('invalid'));
    expect(give).not.toThrow(/xxxx/);
  });

  test('who uses one: VMs, and what a node declares', () => {
    const uses = { secrets: [{ secret: 'a' }] };
    const vms = [
      { name: 'web', spec: uses },
      { name: 'shop/db', spec: uses },
      { name: 'none', spec: {} },
    ];
    const nodes = [{ name: 'shop', spec: { vms: { db: uses, cache: uses, logger: {} } } }];
    expect(usersOf('a', vms, nodes as never)).toEqual(['shop/cache', 'shop/db', 'web']);
    expect(usersOf('b', vms, nodes as never)).toEqual([]);
  });
});

describe('the service', () => {
  let store: Store;
  let users: Array<Pick<Vm, 'name' | 'spec'>>;
  let path: string;
  let events: EventLog;
  const serviceOn = (credentials?: string) =>
    new SecretService({
      secrets: new Resources<SecretSpec, object>(store, SECRET_KIND),
      keys: new KeyRing({ path, credentials }),
      vms: async () => users as Vm[],
      nodes: async () => [] as Node[],
      events,
    });
  let secrets: SecretService;
  const opened = async (name: string, service = secrets) =>
    (await service.open([{ secret: name }])).files[0]?.content.toString();

  beforeEach(async () => {
    store = await stores.open();
    users = [];
    path = join(directory, `${randomBytes(4).toString('hex')}.key`);
    events = new EventLog(store);
    secrets = serviceOn();
  });

  test('set, show, set again, open, delete', async () => {
    const first = await secrets.set('a', VALUE);
    expect(first).toMatchObject({ name: 'a', version: 1, usedBy: [] });
    expect(await secrets.set('a', Buffer.from('other'))).toMatchObject({ id: first.id, version: 2 });
    expect(await opened('a')).toBe('other');
    // Another daemon on the same directory.
    expect(await opened('a', serviceOn())).toBe('other');
    await secrets.delete('a');
    expect(await secrets.list()).toEqual([]);
    await expect(secrets.get('a')).rejects.toEqual(code('not-found'));
    await expect(secrets.assertThere([{ secret: 'a' }])).rejects.toEqual(code('not-found'));
    await events.flush();
    expect(JSON.stringify(await events.list())).not.toContain('battery');
  });

  test('one that is used is not deleted', async () => {
    await secrets.set('a', VALUE);
    users = [{ name: 'web', spec: { secrets: [{ secret: 'a' }] } as Vm['spec'] }];
    await expect(secrets.delete('a')).rejects.toMatchObject({
      code: 'in-use',
      message: expect.stringContaining('web'),
    });
    expect((await secrets.get('a')).usedBy).toEqual(['web']);
  });

  test.each([0, 64 * 1024 + 1])('%d bytes are refused', async (bytes) => {
    await expect(async () => secrets.set('a', Buffer.alloc(bytes, 1))).rejects.toEqual(code('invalid'));
  });

  test('the key is for us alone, and a file that others can read is refused', async () => {
    await secrets.set('a', VALUE);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    await chmod(path, 0o640);
    await expect(opened('a')).rejects.toEqual(code('refused'));
  });

  test('a new key: the old one opens nothing any more', async () => {
    await Promise.all(['a', 'b', 'c'].map((name) => secrets.set(name, Buffer.from(`value of ${name}`))));
    const old = await readFile(path);
    // A set meanwhile waits: it must not use the key that goes.
    const [, d] = await Promise.all([secrets.rotateKey(), secrets.set('d', VALUE)]);
    expect(d.version).toBe(1);
    expect(await Promise.all(['a', 'b', 'd'].map((name) => opened(name)))).toEqual([
      'value of a',
      'value of b',
      VALUE.toString(),
    ]);
    await writeFile(path, old);
    await expect(opened('a')).rejects.toMatchObject({ code: 'failed', message: expect.stringContaining('key') });
    // Nor is anything rotated while one can't be read: its key would be forgotten.
    await expect(secrets.rotateKey()).rejects.toEqual(code('failed'));
    expect(await readFile(path)).toEqual(old);
  });

  test('a rotation that was cut off: both keys are kept, and all can be read', async () => {
    await secrets.set('a', VALUE);
    await new KeyRing({ path }).renew();
    await secrets.set('b', VALUE);
    expect([await opened('a'), await opened('b')]).toEqual([VALUE.toString(), VALUE.toString()]);
    expect(await secrets.rotateKey()).toEqual({ secrets: 2 });
    expect(JSON.parse(await readFile(path, 'utf8')).keys).toHaveLength(1);
  });

  test("systemd's credential is used where there is one, and takes over with rotate-key", async () => {
    await secrets.set('a', VALUE);
    const credentials = await mkdtemp(join(directory, 'credentials-'));
    await writeFile(join(credentials, CREDENTIAL_NAME), randomBytes(32));
    const service = serviceOn(credentials);
    expect(await opened('a', service)).toBe(VALUE.toString());
    await service.rotateKey();
    await expect(stat(path)).rejects.toMatchObject({ code: 'ENOENT' });
    expect(await opened('a', service)).toBe(VALUE.toString());
    await expect(opened('a')).rejects.toEqual(code('failed'));
    await writeFile(join(credentials, CREDENTIAL_NAME), 'short');
    await expect(opened('a', service)).rejects.toEqual(code('failed'));
  });

  test.each(['', '{', '{"version":1,"keys":["c2hvcnQ="]}', '{"version":2,"keys":[]}'])(
    'a damaged key file (%j) is said, without what is in it',
    async (text) => {
      await writeFile(path, text, { mode: 0o600 });
      const error = await secrets.set('a', VALUE).catch((thrown: unknown) => thrown);
      expect(error).toEqual(code('failed'));
      expect(String(error)).not.toContain('c2hv');
    },
  );
});
