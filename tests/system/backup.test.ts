import { cp, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startTestHost, type TestHost } from '@skerry/testkit/host';

/** Backups of a host in use, restored there and elsewhere; stores of older versions under the daemon of today. */

let host: TestHost;
let backup: string;
beforeAll(async () => {
  host = await startTestHost();
  backup = join(host.dir, 'host.backup');
  await host.client.run('vm.create', { body: { name: 'busy', memoryMib: 64, start: true } });
  await host.client.run('vm.create', { body: { name: 'kept', memoryMib: 64, start: true, labels: { tier: 'back' } } });
  await host.client.exec('kept', 'echo precious > /root/note; sync');
  await host.client.run('vm.stop', { params: { vm: 'kept' }, body: {} });
});
afterAll(() => host[Symbol.asyncDispose]());

const cli = (...args: string[]) => host.cli(args);

test('a backup is made while VMs run, for its owner only; what is left out is named', async () => {
  const made = await cli('daemon', 'backup', '--to', 'host.backup', '--disks');
  expect(made).toMatchObject({ exitCode: 0, stdout: expect.stringContaining('2 VMs, disks of 1') });
  expect(made.stderr).toContain('Without the disks of busy');
  expect((await stat(backup)).mode & 0o777).toBe(0o600);
  expect(await cli('daemon', 'backup', '--to', backup)).toMatchObject({
    exitCode: 4,
    stderr: expect.stringContaining('--force'),
  });
  expect((await readdir(host.dirs.dataDir)).filter((name) => name.startsWith('.'))).toEqual([]);
});

test('it is not restored under running VMs, nor over what is there', async () => {
  const running = await cli('daemon', 'restore', backup, '--force');
  expect(running).toMatchObject({ exitCode: 4, stderr: expect.stringContaining('skerry stop busy') });
  await host.client.run('vm.kill', { params: { vm: 'busy' } });
  const filled = await cli('daemon', 'restore', backup);
  expect(filled).toMatchObject({ exitCode: 4, stderr: expect.stringContaining('--force') });
  expect((await host.client.call('vm.list')).map(({ name }) => name)).toEqual(['busy', 'kept']);
});

test('on another host it brings back what was there, with the disk', async () => {
  await using elsewhere = await startTestHost();
  await elsewhere.stop();
  const restored = await elsewhere.cli(['daemon', 'restore', backup, '-o', 'json']);
  expect(restored.exitCode).toBe(0);
  expect(JSON.parse(restored.stdout)).toMatchObject({
    vms: 2,
    disks: ['kept'],
    withoutDisk: ['busy'],
    missingImages: [],
  });
  await elsewhere.start();
  // The wish to run was in the backup too: it comes back as it would after the host's own restart.
  const vms = await elsewhere.client.call('vm.list');
  expect(vms.find(({ name }) => name === 'kept')).toMatchObject({
    labels: { tier: 'back' },
    status: { state: 'stopped' },
  });
  await elsewhere.client.run('vm.start', { params: { vm: 'kept' } });
  expect((await elsewhere.client.exec('kept', 'cat /root/note')).stdout).toBe('precious\n');
});

test('a check before an upgrade: what would be taken up, and nothing is touched by it', async () => {
  await host.client.run('vm.start', { params: { vm: 'busy' } });
  const before = (await host.client.call('event.list')).length;
  const check = await cli('daemon', 'upgrade-check', '-o', 'json');
  expect(check.exitCode).toBe(0);
  const { findings } = JSON.parse(check.stdout) as { findings: Array<{ id: string; state: string; message: string }> };
  expect(findings.map(({ id }) => id)).toEqual(['store', 'resources', 'vms', 'agents', 'qemu', 'templates']);
  expect(findings.find(({ id }) => id === 'vms')).toMatchObject({ state: 'ok', message: expect.stringMatching(/^1 /) });
  expect((await host.client.call('event.list')).length).toBe(before);
  // Without a daemon it looks at the files.
  await host.stop();
  expect(await cli('daemon', 'upgrade-check')).toMatchObject({
    exitCode: 0,
    stdout: expect.stringContaining('1 running VMs'),
  });
  await host.start();
});

describe('the store of another version', () => {
  // Those of all versions are opened in packages/engine/test/store.
  test('the oldest: the daemon of today takes it over, and starts a VM of it', async () => {
    const fixtures = join(import.meta.dirname, '../../packages/engine/test/store/fixtures');
    await using old = await startTestHost();
    await old.stop();
    await rm(join(old.dirs.dataDir, 'store.db-wal'), { force: true });
    await cp(join(fixtures, '2026-11-21-first.db'), join(old.dirs.dataDir, 'store.db'));
    await old.start();
    const vms = await old.client.call('vm.list');
    expect(vms.map((vm) => vm.name).toSorted()).toEqual(['idle', 'shop/db', 'shop/front', 'web']);
    // Disk and image are not on this host: to go on without them is what a restore does.
    await old.client.run('daemon.backup', { body: { to: join(old.dir, 'old.backup') } });
    await old.stop();
    const restored = await old.cli(['daemon', 'restore', 'old.backup', '--force']);
    expect(restored).toMatchObject({ exitCode: 0, stdout: expect.stringContaining('new ones at the next start: ') });
    await old.start();
    await old.client.run('vm.start', { params: { vm: 'web' } });
    expect((await old.client.exec('web', 'echo $GREETING')).stdout).toBe('hello\n');
  });

  test('of a newer one is refused, with what to do', async () => {
    await using old = await startTestHost();
    await old.stop();
    const path = join(old.dirs.dataDir, 'store.db');
    const { DatabaseSync } = await import('node:sqlite');
    const db = new DatabaseSync(path);
    db.exec('PRAGMA user_version = 99');
    db.close();
    await expect(old.start()).rejects.toThrow(/format 99[^]*newer Skerry/);
    expect(await old.cli(['daemon', 'upgrade-check'])).toMatchObject({
      exitCode: 5,
      stdout: expect.stringContaining('blocked'),
    });
    await rm(path);
  });
});
