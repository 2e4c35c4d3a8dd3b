import { lstat, mkdir, mkdtemp, readFile, readdir, readlink, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { appletLinks, mke2fsArgs, neededMib } from '../../src/images/tree-plan.ts';
import { createTree, resolveInside } from '../../src/images/tree.ts';

const GUEST_DIR = join(import.meta.dirname, '../../../../guest');

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'skerry-tree-'));
});
afterEach(() => rm(dir, { recursive: true, force: true }));

describe('applets', () => {
  test('never shadow a program, wherever it is, and never PID 1', () => {
    const list = 'bin/sh\nsbin/ip\nusr/bin/awk\nusr/sbin/httpd\nsbin/init\nbin/busybox\n';
    expect(appletLinks(list, new Set(['ip', 'busybox']))).toEqual([
      { path: 'usr/bin/sh', target: 'busybox' },
      { path: 'usr/bin/awk', target: 'busybox' },
      { path: 'usr/sbin/httpd', target: '../bin/busybox' },
    ]);
  });
});

describe('a path of the guest', () => {
  test('is looked up inside the tree, links and all', async () => {
    await mkdir(join(dir, 'usr/bin'), { recursive: true });
    await symlink('usr/bin', join(dir, 'bin'));
    await mkdir(join(dir, 'var'));
    await symlink('/run', join(dir, 'var/run'));
    await symlink('../../../../..', join(dir, 'up'));
    expect(await resolveInside(dir, '/bin/tool')).toBe(join(dir, 'usr/bin/tool'));
    expect(await resolveInside(dir, '/var/run/x.pid')).toBe(join(dir, 'run/x.pid'));
    expect(await resolveInside(dir, '/up/etc/passwd')).toBe(join(dir, 'etc/passwd'));
    expect(await resolveInside(dir, '/../../etc/passwd')).toBe(join(dir, 'etc/passwd'));
  });

  test('that runs in a circle is refused', async () => {
    await symlink('b', join(dir, 'a'));
    await symlink('a', join(dir, 'b'));
    await expect(resolveInside(dir, '/a/x')).rejects.toMatchObject({ code: 'invalid' });
  });

  test('is written where it leads, with its mode, and replaces a link instead of following it', async () => {
    const tree = await createTree(join(dir, 'tree'), GUEST_DIR, {});
    const outside = join(dir, 'outside');
    await writeFile(outside, 'untouched');
    await symlink(outside, join(tree.path, 'etc/motd'));
    await tree.put('/etc/motd', Buffer.from('hello'), 0o640);
    await tree.put('/srv/deep/er/x', Buffer.from('x'), 0o755);
    expect(await readFile(outside, 'utf8')).toBe('untouched');
    expect(await readFile(join(tree.path, 'etc/motd'), 'utf8')).toBe('hello');
    expect((await stat(join(tree.path, 'etc/motd'))).mode & 0o777).toBe(0o640);
    expect((await stat(join(tree.path, 'srv/deep/er/x'))).mode & 0o777).toBe(0o755);
    await expect(tree.put('/srv/deep', Buffer.from('x'), 0o644)).rejects.toMatchObject({ code: 'invalid' });
  });
});

describe('a new tree', () => {
  test('has the base files with modes of their own, whatever the umask', async () => {
    const before = process.umask(0o077);
    const tree = await createTree(join(dir, 'tree'), GUEST_DIR, {}).finally(() => process.umask(before));
    const mode = async (path: string): Promise<number> => (await stat(join(tree.path, path))).mode & 0o7777;
    expect(await mode('etc/passwd')).toBe(0o644);
    expect(await mode('usr/sbin/adduser')).toBe(0o755);
    expect(await mode('etc/shadow')).toBe(0o600);
    expect(await mode('tmp')).toBe(0o1777);
    expect(await mode('.')).toBe(0o755);
    expect(await mode('usr/bin')).toBe(0o755);
    expect(await mode('root')).toBe(0o700);
    expect(await readdir(tree.path)).toEqual(expect.arrayContaining(['dev', 'proc', 'sys', 'run', 'etc']));
  });

  test('has links to what the agent writes where the recipe has no file, and writes through none of them', async () => {
    const tree = await createTree(join(dir, 'tree'), GUEST_DIR, {});
    const inEtc = (name: string): string => join(tree.path, 'etc', name);
    const outside = join(dir, 'outside');
    await writeFile(outside, 'untouched');
    // What packages bring, as a file and as a link; and the recipe's own, where a link was and where nothing was.
    await writeFile(inEtc('resolv.conf'), 'of a package');
    await symlink(outside, inEtc('hostname'));
    await symlink(outside, inEtc('hosts'));
    await tree.put('/etc/../etc/hosts', Buffer.from('of the recipe'), 0o600);
    await tree.put('/usr/bin/busybox', Buffer.from('#!/bin/sh\necho usr/bin/sh\n'), 0o755);
    await tree.finish({});
    for (const name of ['hostname', 'machine-id', 'resolv.conf']) {
      expect(await readlink(inEtc(name))).toBe(`/run/skerry/${name}`);
    }
    expect((await lstat(inEtc('hosts'))).mode).toBe(0o100600);
    expect(await readFile(inEtc('hosts'), 'utf8')).toBe('of the recipe');
    expect(await readlink(join(tree.path, 'usr/bin/sh'))).toBe('busybox');
    // A file that comes later all the same takes the link's place.
    await tree.put('/etc/machine-id', Buffer.from('late'), 0o644);
    expect(await readFile(inEtc('machine-id'), 'utf8')).toBe('late');
    expect(await readFile(outside, 'utf8')).toBe('untouched');
    await expect(lstat('/run/skerry/machine-id')).rejects.toMatchObject({ code: 'ENOENT' });
  });

  test('without a shell is no image', async () => {
    const tree = await createTree(join(dir, 'tree'), GUEST_DIR, {});
    const disk = join(dir, 'root.raw');
    await expect(tree.makeExt4(disk, 64, '00000000-0000-8000-8000-000000000000', {})).rejects.toMatchObject({
      code: 'invalid',
      message: expect.stringContaining('/bin/sh') as string,
    });
  });
});

describe('the root disk', () => {
  test('has a size that holds the tree, or is refused with one that does', async () => {
    const tree = await createTree(join(dir, 'tree'), GUEST_DIR, {});
    await writeFile(join(tree.path, 'usr/bin/sh'), '');
    await symlink('usr/bin', join(tree.path, 'bin'));
    await tree.put('/srv/large', Buffer.alloc(20 * 2 ** 20, 1), 0o644);
    const disk = join(dir, 'root.raw');
    const make = (sizeMib: number): Promise<void> =>
      tree.makeExt4(disk, sizeMib, '00000000-0000-8000-8000-000000000000', {});
    await expect(make(24)).rejects.toMatchObject({
      code: 'invalid',
      remedy: expect.stringMatching(/size: 64Mi/) as string,
    });
    await make(neededMib(20.5 * 1024));
    expect((await stat(disk)).size).toBe(neededMib(20.5 * 1024) * 2 ** 20);
  });

  test('is made by mke2fs alone', () => {
    const uuid = '01234567-89ab-8def-8123-456789abcdef';
    expect(mke2fsArgs({ tree: '/t', file: '/f', sizeMib: 512, uuid }).join(' ')).toBe(
      `mke2fs -q -F -t ext4 -b 4096 -m 0 -i 16384 -L skerry-root -U ${uuid} -J size=4 ` +
        `-E hash_seed=${uuid},lazy_itable_init=0,lazy_journal_init=0,nodiscard -d /t /f 512M`,
    );
  });
});
