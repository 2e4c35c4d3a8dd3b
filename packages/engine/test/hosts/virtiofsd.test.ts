import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { findVirtiofsd } from '../../src/hosts/index.ts';
import { readVersion } from '../../src/hosts/virtiofsd.ts';
import { virtiofsdCommand } from '../../src/hypervisors/index.ts';

/** Which virtiofsd is there, and how each is started. */

test.each([
  [
    'virtiofsd version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)\nCopyright (c) 2003-2022',
    { kind: 'qemu', version: '7.2.22' },
  ],
  ['virtiofsd 1.13.2\n', { kind: 'rust', version: '1.13.2' }],
  ['', undefined],
  ['usage: false', undefined],
  ['virtiofsd', undefined],
])('%j', (text, found) => expect(readVersion(text)).toEqual(found));

test('each is told of the directory in its own words', () => {
  const commands = (['qemu', 'rust'] as const).map((kind) =>
    virtiofsdCommand({ path: '/x/virtiofsd', kind }).join(' '),
  );
  expect(commands).toEqual([
    '/x/virtiofsd -o source=/mnt,cache=auto,timeout=0,log_level=err --rlimit-nofile=0',
    '/x/virtiofsd --shared-dir=/mnt --cache=auto --log-level=error --rlimit-nofile=0',
  ]);
});

test('one that is not there, or is none, is refused with what to install and what serves instead', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'skerry-virtiofsd-'));
  const [silent, good] = [join(dir, 'silent'), join(dir, 'good')];
  await writeFile(silent, '#!/bin/sh\nexit 0\n');
  await writeFile(good, '#!/bin/sh\necho virtiofsd 1.10.0\n');
  for (const path of [silent, good]) await chmod(path, 0o755);
  const find = (path: string) => findVirtiofsd({ SKERRY_VIRTIOFSD: path });
  for (const path of [join(dir, 'none'), silent]) {
    await expect(find(path)).rejects.toMatchObject({
      code: 'unsupported',
      message: expect.stringContaining(path),
      remedy: expect.stringMatching(/apt-get install virtiofsd.*9p/),
    });
  }
  await expect(find(good)).resolves.toEqual({ path: good, kind: 'rust', version: '1.10.0' });
  await rm(dir, { recursive: true });
});
