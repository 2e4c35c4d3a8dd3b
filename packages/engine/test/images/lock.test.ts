import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { withLock } from '../../src/images/lock.ts';

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'skerry-lock-'));
});
afterEach(() => rm(dir, { recursive: true, force: true }));

test('one at a time, whoever asks, and the lock is free again after an error', async () => {
  const path = join(dir, 'lock');
  let inside = 0;
  let most = 0;
  const work = async (): Promise<void> => {
    inside += 1;
    most = Math.max(most, inside);
    await sleep(20);
    inside -= 1;
    throw new Error('as planned');
  };
  const results = await Promise.allSettled([1, 2, 3].map(() => withLock(path, {}, work)));
  expect(results.every((result) => result.status === 'rejected' && String(result.reason).includes('as planned'))).toBe(
    true,
  );
  expect(most).toBe(1);
});

test('who waits is told so, and can stop waiting', async () => {
  const path = join(dir, 'lock');
  const release = Promise.withResolvers<void>();
  const held = Promise.withResolvers<void>();
  const holder = withLock(path, {}, () => (held.resolve(), release.promise));
  await held.promise;
  const told = Promise.withResolvers<void>();
  const controller = new AbortController();
  const waiter = withLock(path, { signal: controller.signal, onWait: told.resolve }, async () => 'never');
  await told.promise;
  controller.abort();
  await expect(waiter).rejects.toMatchObject({ code: 'cancelled' });
  release.resolve();
  await holder;
  expect(await withLock(path, {}, async () => 'free')).toBe('free');
});

test('a holder that is killed lets go', async () => {
  const path = join(dir, 'lock');
  const program = join(dir, 'hold.ts');
  const lockModule = join(import.meta.dirname, '../../src/images/lock.ts');
  await writeFile(
    program,
    `import { withLock } from ${JSON.stringify(lockModule)};
     await withLock(${JSON.stringify(path)}, {}, async () => { console.log('held'); await new Promise((r) => setTimeout(r, 60_000)); });`,
  );
  const holder = spawn(process.execPath, ['--conditions=source', program], { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(holder.stdout, 'data');
  holder.kill('SIGKILL');
  expect(await withLock(path, { signal: AbortSignal.timeout(5000) }, async () => 'mine')).toBe('mine');
});
