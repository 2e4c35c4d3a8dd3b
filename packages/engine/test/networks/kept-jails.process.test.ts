import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { findJailHost } from '../../src/hypervisors/index.ts';
import { KeptJails } from '../../src/networks/kept-jails.ts';

let root: string;
beforeEach(async () => void (root = await mkdtemp(join(tmpdir(), 'skerry-kept-'))));
afterEach(() => rm(root, { recursive: true, force: true }));

test('what is ended in the moment in which it is started again leaves nothing', async () => {
  const jails = new KeptJails({ root, title: (name) => name, jail: { ...(await findJailHost()), scope: 'none' } });
  // It ends at once, and is started again after 0.2 s.
  const wanted = new Map([['short', { command: ['true'] as const }]]);
  for (let lateMs = 188; lateMs < 212; lateMs += 2) {
    await jails.sync(wanted);
    await sleep(lateMs);
    await jails.sync(new Map());
    await sleep(20);
    expect(await readdir(root)).toEqual([]);
  }
  await jails.close();
});
