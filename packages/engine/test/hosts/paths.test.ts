import { chmod, lstat, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ensurePaths, hostPaths, instanceId } from '../../src/hosts/index.ts';

describe('hostPaths', () => {
  it('are the system directories for root, whatever XDG says', () => {
    expect(hostPaths({ HOME: '/root', XDG_DATA_HOME: '/x' }, 0)).toEqual({
      dataDir: '/var/lib/skerry',
      runtimeDir: '/run/skerry',
      cacheDir: '/var/cache/skerry',
    });
  });

  it('follow XDG for a user, and its defaults', () => {
    expect(hostPaths({ HOME: '/home/ann' }, 1000)).toEqual({
      dataDir: '/home/ann/.local/share/skerry',
      runtimeDir: '/tmp/skerry-1000',
      cacheDir: '/home/ann/.cache/skerry',
    });
    const xdg = { XDG_DATA_HOME: '/d', XDG_RUNTIME_DIR: '/run/user/1000', XDG_CACHE_HOME: 'relative', HOME: '/h' };
    expect(hostPaths(xdg, 1000)).toEqual({
      dataDir: '/d/skerry',
      runtimeDir: '/run/user/1000/skerry',
      cacheDir: '/h/.cache/skerry',
    });
  });

  it('are overridden one by one', () => {
    expect(hostPaths({ SKERRY_DATA_DIR: '/d', SKERRY_RUNTIME_DIR: '' }, 0)).toMatchObject({
      dataDir: '/d',
      runtimeDir: '/run/skerry',
    });
    const all = { SKERRY_DATA_DIR: '/d', SKERRY_RUNTIME_DIR: '/r', SKERRY_CACHE_DIR: '/c' };
    expect(hostPaths(all, 1000)).toEqual({ dataDir: '/d', runtimeDir: '/r', cacheDir: '/c' });
  });

  it.each([
    [{}, 'HOME'],
    [{ HOME: '/h', SKERRY_DATA_DIR: 'here' }, 'SKERRY_DATA_DIR'],
    [{ HOME: '/h', SKERRY_RUNTIME_DIR: `/${'x'.repeat(90)}` }, 'too long'],
  ])('are refused: %o', (env, words) => {
    expect(() => hostPaths(env, 1000)).toThrow(
      expect.objectContaining({ code: 'invalid', message: expect.stringContaining(words) as string }),
    );
  });
});

describe('ensurePaths', () => {
  let root: string;
  const uid = process.getuid?.() ?? 0;
  const paths = () => ({ dataDir: join(root, 'a/data'), runtimeDir: join(root, 'run'), cacheDir: join(root, 'cache') });
  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'skerry-paths-'));
  });
  afterEach(() => rm(root, { recursive: true, force: true }));

  it('makes them private, and again changes nothing', async () => {
    const first = await ensurePaths(paths(), uid);
    expect(await ensurePaths(paths(), uid)).toEqual(first);
    for (const path of Object.values(paths())) expect((await lstat(path)).mode & 0o777).toBe(0o700);
    expect(first.instance).toMatch(/^[0-9a-f]{4}$/);
    expect(await readFile(join(root, 'a/data/instance'), 'utf8')).toBe(`${first.instance}\n`);
  });

  it('refuses what others can enter, own or have set as a trap', async () => {
    await mkdir(paths().runtimeDir);
    await chmod(paths().runtimeDir, 0o755);
    await expect(ensurePaths(paths(), uid)).rejects.toMatchObject({
      code: 'refused',
      remedy: `chmod 700 ${paths().runtimeDir}`,
    });
    await chmod(paths().runtimeDir, 0o700);
    await expect(ensurePaths(paths(), uid + 1)).rejects.toMatchObject({ code: 'refused' });
    await rm(paths().runtimeDir, { recursive: true });
    await symlink('/tmp', paths().runtimeDir);
    await expect(ensurePaths(paths(), uid)).rejects.toMatchObject({ code: 'refused' });
    await rm(paths().runtimeDir);
    await writeFile(paths().runtimeDir, '');
    await expect(ensurePaths(paths(), uid)).rejects.toMatchObject({ code: 'refused' });
  });

  it('gives the same instance to all who ask at once', async () => {
    const ids = await Promise.all(Array.from({ length: 20 }, () => instanceId(root)));
    expect(new Set(ids).size).toBe(1);
    await writeFile(join(root, 'instance'), 'other');
    await expect(instanceId(root)).rejects.toMatchObject({ code: 'failed' });
    expect(await instanceId('/var/lib/skerry')).toBe('skerry');
  });
});
