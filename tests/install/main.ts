import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { hostPaths } from '@skerry/engine';
import { buildDeb, sourceEpoch } from '../../scripts/package/deb.ts';
import { testInMachine } from './machine.ts';

/**
 * npm run test:install [-- FILE.deb]: the Debian package in a fresh debootstrap root of this machine's distribution, with
 * its dependencies by apt. Takes minutes and the network, so CI does the same steps in a copy of its own root instead
 * (tests/system/deb.test.ts). With `-- systemd [FILE.deb]` or `-- kvm [FILE.deb]` in a virtual machine: machine.ts. As root.
 */

if (process.getuid?.() !== 0) {
  process.stderr.write('This needs root: a root file system is made and mounted.\n');
  process.exit(5);
}
const inMachine = await testInMachine(process.argv[2] ?? '', process.argv[3]);
if (inMachine !== undefined) process.exit(inMachine);
const dir = await mkdtemp(join(tmpdir(), 'skerry-install-'));
let exitCode: number | null = 1;
try {
  const deb = process.argv[2] ?? (await buildDeb({ to: dir, epoch: await sourceEpoch(), compression: 1 }));
  const script = join(import.meta.dirname, 'root.sh');
  const { cacheDir } = hostPaths(process.env, 0);
  const args = ['-m', '-p', '--fork', '--kill-child', 'sh', script, 'debootstrap', dir, deb, cacheDir];
  const child = spawn('unshare', args, { stdio: ['ignore', 'inherit', 'inherit'] });
  [exitCode] = (await once(child, 'exit')) as [number | null];
} finally {
  await rm(dir, { recursive: true, force: true });
}
process.exitCode = exitCode ?? 1;
