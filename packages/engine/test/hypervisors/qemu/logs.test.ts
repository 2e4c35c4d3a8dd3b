import { appendFile, mkdtemp, open, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { capLog } from '../../../src/hypervisors/index.ts';
import { lastRun, markRun } from '../../../src/hypervisors/qemu/logs.ts';

describe('logs', () => {
  let dir: string;
  let log: string;

  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'skerry-log-'));
    log = join(dir, 'console.log');
  });
  afterEach(async () => await rm(dir, { recursive: true }));

  it('tells the last run from those before', async () => {
    await markRun(log, 0);
    await appendFile(log, 'Kernel panic\r\n');
    await markRun(log, 1);
    expect(await lastRun(log)).toBe('');
    await appendFile(log, 'hello\r\n');
    expect(await lastRun(log)).toBe('hello\r\n');
    expect(await readFile(log, 'utf8')).toContain('Kernel panic');
    expect((await stat(log)).mode & 0o777).toBe(0o600);
  });

  it('reads no more than the end of a long run', async () => {
    await markRun(log, 0);
    await appendFile(log, `${'x'.repeat(1_000_000)}the end`);
    const text = await lastRun(log);
    expect(text.length).toBeLessThan(20_000);
    expect(text.endsWith('the end')).toBe(true);
  });

  it('has nothing of a console that is not there', async () => {
    expect(await lastRun(log)).toBe('');
    await capLog(log, 1);
  });

  it('cuts a log in place under its writer, and keeps the end', async () => {
    await using writer = await open(log, 'a');
    await writer.write(`${'x'.repeat(200_000)}the end\n`);
    const { ino } = await stat(log);
    await capLog(log, 300_000);
    expect((await stat(log)).size).toBe(200_008);
    await capLog(log, 100_000);
    await writer.write('and on\n');
    const text = await readFile(log, 'utf8');
    expect(text.length).toBe(64 * 1024 + 7);
    expect(text.endsWith('the end\nand on\n')).toBe(true);
    expect((await stat(log)).ino).toBe(ino);
  });

  it('leaves a short log alone', async () => {
    await writeFile(log, 'short');
    await capLog(log, 5);
    expect(await readFile(log, 'utf8')).toBe('short');
  });
});
