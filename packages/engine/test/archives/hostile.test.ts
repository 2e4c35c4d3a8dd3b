import { mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as fc from '@skerry/testkit/properties';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { openArchive, writeArchive, type ArchiveKind } from '../../src/archives/index.ts';
import { manifest, tar, type TarMember } from './tar-file.ts';

const KIND: ArchiveKind<object> = {
  format: 'skerry-test',
  version: 1,
  word: 'test',
  names: /^(?:a|b|d\/[\w.-]+)$/,
  about: z.object({}),
};
let dir: string;
beforeAll(async () => void (dir = await mkdtemp(join(tmpdir(), 'skerry-archive-'))));
afterAll(() => rm(dir, { recursive: true, force: true }));

const a: TarMember = { name: 'a', content: 'first' };
const b: TarMember = { name: 'b', content: 'second'.repeat(1000) };
const honest = (members: readonly TarMember[], change?: object) => manifest('skerry-test', {}, members, change);
let count = 0;
async function fileOf(bytes: Buffer): Promise<string> {
  const path = join(dir, `archive-${(count += 1)}`);
  await writeFile(path, bytes);
  return path;
}

test('what was written is read, whole and for its owner only; nothing is left beside it', async () => {
  const source = join(dir, 'source');
  await writeFile(source, 'x'.repeat(100_000));
  const to = join(dir, 'own');
  const files = [
    { name: 'a', path: source },
    { name: 'd/one', path: source },
  ];
  await writeArchive(KIND, { to, force: false, skerry: '1', about: {}, files, workDir: dir });
  expect((await stat(to)).mode & 0o777).toBe(0o600);
  const archive = await openArchive(to, KIND);
  await archive.extract(join(dir, 'out'), () => true);
  expect((await stat(join(dir, 'out/d/one'))).size).toBe(100_000);
  expect((await stat(join(dir, 'out/a'))).mode & 0o777).toBe(0o600);
  expect((await readdir(dir)).filter((name) => name.startsWith('.'))).toEqual([]);
  await expect(
    writeArchive(KIND, { to, force: false, skerry: '1', about: {}, files, workDir: dir }),
  ).rejects.toMatchObject({ code: 'conflict', remedy: expect.stringContaining('--force') });
});

describe('refused before anything is unpacked:', () => {
  const evil = (name: string, rest: Partial<TarMember> = {}): TarMember => ({ name, content: 'x', ...rest });
  const wrong: ReadonlyArray<readonly [string, Buffer, string]> = [
    ['nothing', Buffer.alloc(0), 'failed'],
    ['zeros', Buffer.alloc(4096), 'invalid'],
    ['a text', Buffer.from('hello '.repeat(1000)), 'invalid'],
    ['no manifest', tar([a, b]), 'invalid'],
    ['a manifest that is no JSON', tar([{ name: 'manifest.json', content: '{' }, a]), 'invalid'],
    ['another format', tar([manifest('skerry-other', {}, [a]), a]), 'invalid'],
    ['a newer version', tar([honest([a], { version: 2 }), a]), 'unsupported'],
    ['a huge manifest', tar([{ name: 'manifest.json', size: '77777777777\0' }]), 'invalid'],
    ['a path that leads out', tar([honest([evil('../a')]), evil('../a')]), 'invalid'],
    ['an absolute path', tar([honest([evil('/a')]), evil('/a')]), 'invalid'],
    ['a path inside that leads out', tar([honest([evil('d/../../a')]), evil('d/../../a')]), 'invalid'],
    ['an option for a name', tar([honest([evil('--checkpoint')]), evil('--checkpoint')]), 'invalid'],
    ['a name that does not belong', tar([honest([evil('c')]), evil('c')]), 'invalid'],
    ['a symbolic link', tar([honest([a]), { ...a, type: '2' }]), 'invalid'],
    ['a hard link', tar([honest([a]), { ...a, type: '1' }]), 'invalid'],
    ['a link in the place of a file', tar([honest([a]), { ...a, link: '/etc/passwd' }]), 'invalid'],
    ['a device', tar([honest([a]), { ...a, type: '3' }]), 'invalid'],
    ['a directory', tar([honest([a]), { ...a, type: '5' }]), 'invalid'],
    ['a sparse map', tar([honest([a]), { ...a, type: 'S' }]), 'invalid'],
    ['an extended header', tar([honest([a]), evil('PaxHeaders', { type: 'x' }), a]), 'invalid'],
    ['a long name', tar([honest([a]), evil('././@LongLink', { type: 'L' }), a]), 'invalid'],
    ['the same file twice', tar([honest([a, a]), a, a]), 'invalid'],
    ['a file that is missing', tar([honest([a, b]), a]), 'invalid'],
    ['a file too many', tar([honest([a]), a, b]), 'invalid'],
    ['another order', tar([honest([a, b]), b, a]), 'invalid'],
    ['another size', tar([honest([a]), { ...a, content: 'f' }]), 'invalid'],
    ['a size that is no number', tar([honest([a]), { ...a, size: 'zzzzzzzzzzz\0' }]), 'invalid'],
    ['a negative size', tar([honest([a]), { ...a, size: '\xff'.repeat(12) }]), 'invalid'],
    ['a damaged header', tar([honest([a]), { ...a, damage: true }]), 'invalid'],
    ['no end', tar([honest([a]), a], { isEnded: false }), 'failed'],
    ['a cut', tar([honest([a, b]), a, b]).subarray(0, 4096), 'failed'],
  ];
  test.each(wrong)('%s', async (_, bytes, code) => {
    const path = await fileOf(bytes);
    await expect(openArchive(path, KIND)).rejects.toMatchObject({ code, remedy: expect.stringMatching(/\w/) });
  });

  test('a size beyond all disks', async () => {
    const sizeBytes = 2 ** 52;
    const files = [{ name: 'a', sizeBytes, sha256: '0'.repeat(64) }];
    const size = Buffer.concat([Buffer.from([0x80, 0, 0, 0]), Buffer.alloc(8)]);
    size.writeBigUInt64BE(BigInt(sizeBytes), 4);
    const path = await fileOf(tar([honest([], { files }), { name: 'a', size: size.toString('latin1') }]));
    await expect(openArchive(path, KIND)).rejects.toMatchObject({ code: 'failed' });
  });

  test('what is no file', async () => {
    await expect(openArchive(dir, KIND)).rejects.toMatchObject({ code: 'invalid' });
    await expect(openArchive(join(dir, 'nothing'), KIND)).rejects.toMatchObject({ code: 'not-found' });
  });

  test('bytes that were changed at any place: refused, or another content than promised', async () => {
    const bytes = tar([honest([a]), a]);
    await fc.assert(
      fc.asyncProperty(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }), async (at, change) => {
        const damaged = Buffer.from(bytes);
        damaged[at] = (damaged[at] ?? 0) ^ change;
        const path = await fileOf(damaged);
        const archive = await openArchive(path, KIND).catch((error: { code: string }) => {
          expect(['invalid', 'failed', 'unsupported']).toContain(error.code);
        });
        for (const { name } of archive?.manifest.files ?? []) expect(name).toBe('a');
      }),
      { numRuns: 300 },
    );
  });
});

test('another content than the digest says is found when it is unpacked', async () => {
  const path = await fileOf(tar([honest([a]), { ...a, content: 'FIRST' }]));
  const archive = await openArchive(path, KIND);
  await expect(archive.extract(join(dir, 'wrong'), () => true)).rejects.toMatchObject({
    code: 'failed',
    details: { name: 'a' },
  });
});
