import { normaliseRecipe, RecipeFile } from '@skerry/api';
import { describe, expect, test } from 'vitest';

const noSource = async (): Promise<string> => Promise.reject(new Error('no source was expected'));

describe('a recipe', () => {
  test('takes its normal form', async () => {
    const file = RecipeFile.parse({
      name: 'web',
      from: 'micro',
      packages: ['nginx', 'redis-tools=5:7.0.15-1~deb12u10'],
      files: [
        { path: '/etc/a', content: 'grüße\n' },
        { path: '/usr/local/bin/b', source: 'b.sh', mode: '0755' },
      ],
      size: '1Gi',
      memoryMin: '96Mi',
      env: { PORT: 8080 },
      command: 'echo hi; exec nginx',
    });
    const recipe = await normaliseRecipe(file, async (path) => Buffer.from(`from ${path}`).toString('base64'));
    expect(recipe).toEqual({
      name: 'web',
      from: 'micro',
      packages: ['nginx', 'redis-tools=5:7.0.15-1~deb12u10'],
      files: [
        { path: '/etc/a', contentBase64: Buffer.from('grüße\n').toString('base64'), mode: 0o644 },
        { path: '/usr/local/bin/b', contentBase64: Buffer.from('from b.sh').toString('base64'), mode: 0o755 },
      ],
      run: [],
      sizeMib: 1024,
      minMemoryMib: 96,
      env: { PORT: '8080' },
      command: ['sh', '-c', 'echo hi; exec nginx'],
    });
  });

  test('has defaults for all but its name and what it is made from', async () => {
    const recipe = await normaliseRecipe(RecipeFile.parse({ name: 'a', from: 'micro' }), noSource);
    expect(recipe).toMatchObject({ packages: [], files: [], run: [], sizeMib: 512, minMemoryMib: 64 });
  });

  test('with ssh says so, and without says nothing, so that its image stays the same', async () => {
    const form = (ssh: boolean) => normaliseRecipe(RecipeFile.parse({ name: 'a', from: 'micro', ssh }), noSource);
    expect(await form(true)).toMatchObject({ ssh: true });
    expect(await form(false)).not.toHaveProperty('ssh');
  });

  test.each([
    ['another base', { from: 'debian' }, /from: micro/],
    ['an option for apt', { packages: ['-o=x'] }, /not a package/],
    ['a path for apt', { packages: ['./x.deb'] }, /not a package/],
    ['a relative path', { files: [{ path: 'etc/x', content: '' }] }, /not an absolute path/],
    ['neither content nor source', { files: [{ path: '/etc/x' }] }, /either `content`/],
    ['both', { files: [{ path: '/etc/x', content: '', source: 'x' }] }, /either `content`/],
    ['a bare mode, which YAML reads as decimal', { files: [{ path: '/etc/x', content: '', mode: 755 }] }, /in quotes/],
    ['a size in words', { size: 'large' }, /not a size/],
    ['a NUL in a command', { run: ['a\0b'] }, /NUL/],
    ['an unknown member', { packges: [] }, /packges/],
  ])('with %s is refused', (_what, part, message) => {
    const result = RecipeFile.safeParse({ name: 'a', from: 'micro', ...part });
    expect(result.success).toBe(false);
    expect(JSON.stringify(result.error?.issues)).toMatch(message);
  });

  test('with a size that no disk has is refused', async () => {
    const file = RecipeFile.parse({ name: 'a', from: 'micro', size: '1Mi' });
    await expect(normaliseRecipe(file, noSource)).rejects.toThrow(/sizeMib/);
  });
});
