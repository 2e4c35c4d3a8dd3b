import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { armLease, endLease, hasLease, type LeaseParts } from '../../../src/hypervisors/qemu/lease.ts';
import { makeJail } from './fixture.ts';

/** `vmjail --lease` beside a process that stands for QEMU, and a monitor that listens, or does not yet. */

const GREETING = '{"QMP": {"version": {}, "capabilities": []}}\n';
const commands = [{ execute: 'cont' }, { execute: 'object-del', arguments: { id: 'x' } }];

async function stage() {
  const jail = await makeJail();
  const child = spawn('sleep', ['60']);
  await once(child, 'spawn');
  const pid = child.pid ?? 0;
  const stat = await readFile(`/proc/${pid}/stat`, 'latin1');
  const startTime = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '';
  const monitorPath = join(jail.root, 'cut');
  const heard: string[] = [];
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.write(GREETING);
    socket.on('data', (data) => {
      for (const line of data.toString().trim().split('\n')) {
        heard.push((JSON.parse(line) as { execute: string }).execute);
        // What is undone already is refused, and counts as done.
        socket.write(
          line.includes('cont') ? '{"error": {"class": "GenericError", "desc": "no"}}\n' : '{"return": {}}\n',
        );
      }
    });
  });
  const parts: LeaseParts = { jail: jail.host, dir: jail.root, monitorPath, pid, startTime };
  return {
    parts,
    heard,
    child,
    listen: () => new Promise<void>((resolve) => server.listen(monitorPath, resolve)),
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL');
      await expect.poll(() => hasLease(parts, 'test'), { timeout: 5000 }).toBe(false);
      server.close();
      await jail[Symbol.asyncDispose]();
    },
  };
}

test('it gives the commands when its time has come, all of them and once', async () => {
  await using it = await stage();
  await it.listen();
  await armLease(it.parts, 'test', 300, commands);
  expect(await hasLease(it.parts, 'test')).toBe(true);
  expect(it.heard).toEqual([]);
  await expect.poll(() => hasLease(it.parts, 'test'), { timeout: 10_000 }).toBe(false);
  expect(it.heard).toEqual(['qmp_capabilities', 'cont', 'object-del']);
});

test('it does nothing when it is ended before, or its process has ended', async () => {
  await using it = await stage();
  await it.listen();
  await armLease(it.parts, 'test', 60_000, commands);
  await endLease(it.parts, 'test');
  // One that is ended makes sure that nothing of it is still to be read.
  expect(it.heard).toEqual(['qmp_capabilities', 'query-version']);
  await endLease(it.parts, 'test');
  await armLease(it.parts, 'test', undefined, commands);
  await sleep(200);
  expect(await hasLease(it.parts, 'test')).toBe(true);
  it.child.kill('SIGKILL');
  await expect.poll(() => hasLease(it.parts, 'test'), { timeout: 5000 }).toBe(false);
  expect(it.heard).toEqual(['qmp_capabilities', 'query-version']);
  // A pid that is another process by now.
  await armLease({ ...it.parts, pid: process.pid }, 'test', 60_000, commands);
  await expect.poll(() => hasLease(it.parts, 'test'), { timeout: 5000 }).toBe(false);
});

test('one that is replaced goes when the other is there, and not before', async () => {
  await using it = await stage();
  await it.listen();
  await armLease(it.parts, 'test', 60_000, commands);
  const broken = { ...it.parts, jail: { ...it.parts.jail, vmjailPath: '/nonexistent' } };
  await expect(armLease(broken, 'test', 60_000, commands)).rejects.toThrow();
  expect(await hasLease(it.parts, 'test')).toBe(true);
  for (const ms of [60_000, 50_000, 300]) await armLease(it.parts, 'test', ms, commands);
  await expect.poll(() => hasLease(it.parts, 'test'), { timeout: 10_000 }).toBe(false);
  expect(it.heard.filter((command) => command === 'cont')).toHaveLength(1);
});

test('it tries again until there is a monitor', async () => {
  await using it = await stage();
  await armLease(it.parts, 'test', 50, commands);
  await sleep(400);
  expect(await hasLease(it.parts, 'test')).toBe(true);
  await it.listen();
  await expect.poll(() => it.heard, { timeout: 10_000 }).toEqual(['qmp_capabilities', 'cont', 'object-del']);
});
