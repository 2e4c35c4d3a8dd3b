import { Shares, type Share, type VmStatus } from '@skerry/api';
import { describe, expect, test } from 'vitest';
import { newVmStatus } from '../../src/vms/model.ts';
import { assertAllowed, assertSavable, shareInfos, shareRoots, type ShareRules } from '../../src/vms/share-plan.ts';

const ADA = 1000;
const rules: ShareRules = {
  home: '/home/ada',
  uid: ADA,
  ownDirs: ['/home/ada/.local/share/skerry', '/run/user/1000/skerry', '/home/ada/.cache/skerry'],
};

describe('without SKERRY_SHARE_ROOTS', () => {
  test.each([
    ['/home/ada/src', ADA],
    ['/home/ada/made-by-root', 0],
    ['/srv/project', ADA],
    ['/tmp/x', ADA],
    ['/var/tmp/x', ADA],
  ])('%s of user %d may be shared', (path, owner) => {
    expect(() => assertAllowed(path, owner, rules)).not.toThrow();
  });

  test.each([
    ['/', 0, /all of the host/],
    ['/etc', 0, /system's/],
    ['/etc/ssh', ADA, /system's/],
    ['/root', 0, /system's/],
    ['/var/lib/x', ADA, /system's/],
    ['/proc/self', ADA, /system's/],
    ['/home/bob/src', 1001, /another user/],
    ['/home/adaline', 1002, /another user/],
    ['/srv/project', 0, /another user/],
    ['/home/ada', ADA, /daemon keeps its own files/],
    ['/home/ada/.local/share/skerry/vms', ADA, /daemon keeps its own files/],
    ['/home', 0, /daemon keeps its own files/],
  ])('%s of user %d may not', (path, owner, why) => {
    const refused = expect.objectContaining({
      code: 'refused',
      message: expect.stringMatching(why),
      remedy: expect.stringMatching(/Share a directory/),
    });
    expect(() => assertAllowed(path, owner, rules)).toThrow(refused);
  });

  test('a root daemon shares what is root’s and not the system’s', () => {
    const root = { ...rules, home: '/root', uid: 0 };
    for (const path of ['/root/src', '/srv/x', '/tmp/x']) expect(() => assertAllowed(path, 0, root)).not.toThrow();
    for (const path of ['/etc', '/usr/share']) expect(() => assertAllowed(path, 0, root)).toThrow(/system's/);
    expect(() => assertAllowed('/home/bob/x', 1001, root)).toThrow(/another user/);
  });

  test('a home that is the root of all is none', () => {
    expect(() => assertAllowed('/etc', 0, { ...rules, home: '/', uid: 0 })).toThrow(/system's/);
  });
});

test('with SKERRY_SHARE_ROOTS only what lies in them, whoever owns it', () => {
  const with2 = { ...rules, roots: shareRoots('/srv/a/:/etc/ssh') };
  for (const path of ['/srv/a', '/srv/a/b', '/etc/ssh']) expect(() => assertAllowed(path, 5, with2)).not.toThrow();
  for (const path of ['/home/ada/src', '/srv/ab', '/srv', '/etc']) {
    expect(() => assertAllowed(path, ADA, with2), path).toThrow(/SKERRY_SHARE_ROOTS/);
  }
  // Not even when they are allowed.
  expect(() => assertAllowed('/run/user/1000/skerry', ADA, { ...rules, roots: ['/'] })).toThrow(/own files/);
  expect(shareRoots('')).toBeUndefined();
  expect(() => shareRoots('src')).toThrow(/absolute/);
});

describe('how it is with each', () => {
  const share = (guestPath: string): Share => ({ hostPath: '/src', guestPath, readonly: false });
  const status = (change: Partial<VmStatus>): VmStatus => ({ ...newVmStatus([], ''), ...change });
  const has = (guestPath: string, mounted: boolean) => ({ ...share(guestPath), how: '9p' as const, mounted });

  test('of a VM that runs', () => {
    const shares = [has('/a', true), has('/b', false), has('/gone', false)];
    const infos = shareInfos({ shares: ['/a', '/b', '/new'].map(share) }, status({ state: 'running', shares }));
    expect(infos.map(({ guestPath, state }) => `${guestPath} ${state}`)).toEqual([
      '/a mounted',
      '/b unmounted',
      '/new at-next-start',
      '/gone until-stop',
    ]);
  });

  test('one that has changed is another one', () => {
    const shares = [{ ...has('/a', true), readonly: true }];
    const infos = shareInfos({ shares: [share('/a')] }, status({ state: 'running', shares }));
    expect(infos.map(({ readonly, state }) => [readonly, state])).toEqual([
      [false, 'at-next-start'],
      [true, 'until-stop'],
    ]);
  });

  test('by another device it is another one, and 9p needs no word', () => {
    const shares = [has('/a', true), has('/b', true)];
    const wanted: Share[] = [
      { ...share('/a'), how: 'virtiofs' },
      { ...share('/b'), how: '9p' },
    ];
    const infos = shareInfos({ shares: wanted }, status({ state: 'running', shares }));
    expect(infos.map(({ guestPath, how, state }) => `${guestPath} ${how} ${state}`)).toEqual([
      '/a virtiofs at-next-start',
      '/b 9p mounted',
      '/a 9p until-stop',
    ]);
  });

  test('memory is not written beside a server, mounted or not, and what to type instead is said', () => {
    expect(() => assertSavable('web', { shares: [has('/a', true)] })).not.toThrow();
    const by = { ...has('/b', false), how: 'virtiofs' as const, readonly: true };
    const refused = expect.objectContaining({
      code: 'unsupported',
      remedy: expect.stringContaining('`skerry share add web /src:/b:ro`'),
    });
    expect(() => assertSavable('web', { shares: [has('/a', true), by] })).toThrow(refused);
  });

  test('of one that does not run, whatever its status says still', () => {
    const infos = shareInfos({ shares: [share('/a')] }, status({ state: 'crashed', shares: [has('/a', true)] }));
    expect(infos.map(({ state }) => state)).toEqual(['at-next-start']);
    expect(shareInfos({}, status({}))).toEqual([]);
  });
});

describe('places in the guest', () => {
  const at = (...paths: string[]) => Shares.safeParse(paths.map((guestPath) => ({ hostPath: '/src', guestPath })));
  test.each([[['/mnt/src']], [['/mnt/a', '/mnt/ab']], [['/srv/', '/home/x']]])('%j are some', (paths) => {
    expect(at(...paths).success).toBe(true);
  });
  test.each([
    [['/']],
    [['//']],
    [['/proc']],
    [['/proc/x']],
    [['/dev/shm']],
    [['/run/x']],
    [['/etc']],
    [['/usr/']],
    [['mnt']],
    [['']],
    [['/mnt/../etc']],
    [['/mnt//a']],
    [['/mnt/./a']],
    [['/mnt/a:b']],
    [['/mnt/a\0']],
    [['/mnt/a\nb']],
    [['/mnt/a', '/mnt/a/']],
    [['/mnt', '/mnt/a']],
    [['/mnt/a/b', '/mnt/a']],
  ])('%j are none', (paths) => {
    expect(at(...paths).success).toBe(false);
  });
});
