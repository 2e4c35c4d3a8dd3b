import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { references } from '../reference/all.ts';

const REFERENCE = join(import.meta.dirname, '../../docs/reference');

test('docs/reference is what the contract and the commands say today', async () => {
  const wanted = references();
  expect((await readdir(REFERENCE)).toSorted()).toEqual([...wanted.keys()].toSorted());
  for (const [name, text] of wanted) {
    // Not compared as a whole: a difference would be shown with pages around it.
    const written = (await readFile(join(REFERENCE, name), 'utf8')).split('\n');
    const at = text.split('\n').findIndex((line, index) => line !== written[index]);
    expect(at === -1 ? '' : `docs/reference/${name}:${at + 1} differs: npm run reference writes it`).toBe('');
    expect(written.length).toBe(text.split('\n').length);
  }
});
