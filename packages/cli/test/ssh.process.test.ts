import { execFile } from 'node:child_process';
import { lstat, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ownKey, putFirst, rememberHost } from '../src/commands/ssh/files.ts';
import { hostOf, vmOf } from '../src/commands/ssh/hosts.ts';
import { sshConfig, type SshPaths } from '../src/commands/ssh/options.ts';

/** What we write for OpenSSH, read by OpenSSH. */

const run = promisify(execFile);
let dir: string;
beforeAll(async () => void (dir = await mkdtemp(join(tmpdir(), 'skerry ssh %n '))));
afterAll(() => rm(dir, { recursive: true, force: true }));

test.each([
  ['web-vm', 'web-vm'],
  ['shop/web', 'web.shop'],
])('%s is %s to ssh, and back, also with .skerry', (vm, host) => {
  expect(hostOf(vm)).toBe(host);
  expect([vmOf(host), vmOf(`${host}.skerry`)]).toEqual([vm, vm]);
});

test('the key is one that ssh-keygen reads, and of many who make it at once all get the same', async () => {
  const sshDir = join(dir, 'key');
  const keys = await Promise.all(Array.from({ length: 8 }, () => ownKey(sshDir)));
  expect(new Set(keys.map(({ publicKey }) => publicKey)).size).toBe(1);
  const { privateKeyPath = '', publicKey } = keys[0] ?? {};
  expect((await lstat(privateKeyPath)).mode & 0o777).toBe(0o600);
  const { stdout } = await run('ssh-keygen', ['-y', '-P', '', '-f', privateKeyPath]);
  expect(stdout.trim()).toBe(publicKey);
  expect(await readdir(sshDir)).toEqual(['key']);
});

test('what is signed with the key is verified by its public half', async () => {
  const { privateKeyPath, publicKey } = await ownKey(join(dir, 'signing'));
  const [file, signers] = [join(dir, 'text'), join(dir, 'signers')];
  await writeFile(file, 'text');
  await writeFile(signers, `me ${publicKey}\n`);
  await run('ssh-keygen', ['-Y', 'sign', '-n', 'test', '-f', privateKeyPath, file]);
  const verify = ['-Y', 'verify', '-n', 'test', '-I', 'me', '-f', signers, '-s', `${file}.sig`];
  const child = run('ssh-keygen', verify);
  child.child.stdin?.end('text');
  expect((await child).stdout).toContain('Good');
});

test('ssh takes the configuration for what it says, whatever is in its paths', async () => {
  const paths: SshPaths = {
    launcher: [join(dir, "it's 100% skerry")],
    env: { SKERRY_DATA_DIR: join(dir, 'data') },
    privateKeyPath: join(dir, 'id'),
    knownHostsDir: join(dir, 'known'),
  };
  const file = join(dir, 'config');
  await writeFile(file, sshConfig(['plain', 'shop/web'], true, paths));
  const settings = async (host: string) => {
    const { stdout } = await run('ssh', ['-G', '-F', file, host]);
    return Object.fromEntries(stdout.split('\n').map((line) => /^(\S+) ?(.*)$/.exec(line)?.slice(1) ?? ['', '']));
  };
  for (const host of ['plain', 'web.shop', 'later.skerry']) {
    expect(await settings(host)).toMatchObject({ user: 'root', stricthostkeychecking: 'true' });
  }
  expect(await settings('elsewhere')).not.toHaveProperty('proxycommand');
  // What it runs: with the name that was typed, and each path in one piece.
  await writeFile(paths.launcher[0] ?? '', '#!/bin/sh\necho "$SKERRY_DATA_DIR" "$@" >&2\n', { mode: 0o755 });
  const failed = await run('ssh', ['-F', file, 'alice@web.shop', 'true']).catch((error: { stderr: string }) => error);
  expect(failed.stderr).toContain(`${join(dir, 'data')} connect web.shop:ssh --user alice\n`);
});

test('a host key is found under the name in small letters, and replaced whole', async () => {
  const sshDir = join(dir, 'hosts');
  const { publicKey } = await ownKey(sshDir);
  const [type = '', blob = ''] = publicKey.split(' ');
  await Promise.all(Array.from({ length: 5 }, () => rememberHost(sshDir, 'Web.skerry', [`${type} ${blob}`])));
  const file = join(sshDir, 'known_hosts', 'Web.skerry');
  expect(await readFile(file, 'utf8')).toBe(`web.skerry ${type} ${blob}\n`);
  expect((await run('ssh-keygen', ['-F', 'web.skerry', '-f', file])).stdout).toContain(blob);
  expect(await readdir(join(sshDir, 'known_hosts'))).toEqual(['Web.skerry']);
});

test('a line is put first once, through a link, and what was there stays', async () => {
  await mkdir(join(dir, 'home'));
  const [file, link] = [join(dir, 'home', 'real'), join(dir, 'home', 'config')];
  await writeFile(file, 'Host a\n  User b\n', { mode: 0o640 });
  await symlink(file, link);
  expect(await putFirst(link, 'Include /x')).toBe(true);
  expect(await putFirst(link, 'Include /x')).toBe(false);
  expect(await readFile(file, 'utf8')).toBe('Include /x\n\nHost a\n  User b\n');
  expect((await lstat(link)).isSymbolicLink()).toBe(true);
  expect(await putFirst(join(dir, 'home', 'new'), 'Include /x')).toBe(true);
  expect((await lstat(join(dir, 'home', 'new'))).mode & 0o777).toBe(0o600);
});
