import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { startTestHost, type TestHost } from '@skerry/testkit';
import { run } from '../../packages/engine/src/hosts/index.ts';

/**
 * npm run soak -- kernel-features: the kernel datapath on a kernel that has netem, ifb and VLAN filtering, whatever this
 * one has: Debian's, in a VM of ours. `kernel-features-guest.ts` runs in there, with this Node and these sources.
 */

const REPOSITORY = join(import.meta.dirname, '../..');
const BUILD_TIMEOUT_MS = 30 * 60_000;
const COPY_TIMEOUT_MS = 15 * 60_000;

/** Busybox's own ip, tc and depmod know too little, and its shell prefers them to programs (FEATURE_SH_STANDALONE). */
const RECIPE = `
name: kernel-features
from: micro
packages: [linux-image-cloud-amd64, kmod, dash, iproute2, nftables, dnsmasq-base, util-linux, libstdc++6, libatomic1]
run:
  - /sbin/depmod $(ls /lib/modules)
  - ln -sf dash /bin/sh
size: 1Gi
memoryMin: 512Mi
`;

/** What the guest's part imports. */
const SOURCES = [
  'package.json',
  ...['api', 'engine', 'qmp', 'switch'].flatMap((name) => [`packages/${name}/package.json`, `packages/${name}/src`]),
  'packages/engine/test/networks/kernel',
  'tests/soak',
  'native/build/vmjail',
  'node_modules/zod',
  'node_modules/@skerry',
];

const SETUP = [
  'gunzip -c /srv/node.gz > /usr/local/bin/node',
  'chmod 755 /usr/local/bin/node',
  'tar -xzf /srv/project.tgz -C /srv',
  // Loading takes an emulated machine longer than nft(8) and the probes are given.
  'modprobe -a tun br_netfilter 8021q sch_netem sch_htb nft_meta_bridge nft_reject_bridge nft_reject_inet nft_ct nft_masq',
].join(' && ');

/** @returns whether all was as it was asked for */
export async function soakKernelFeatures(say: (line: string) => void): Promise<boolean> {
  await using host = await startTestHost();
  await writeFile(join(host.dir, 'recipe.yaml'), RECIPE);
  await done(host, ['image', 'build', join(host.dir, 'recipe.yaml'), '--kernel', 'distro'], BUILD_TIMEOUT_MS);
  const create = ['create', 'features', 'kernel-features', '--kernel', 'distro', '--memory', '1Gi', '--cpus', '2'];
  await done(host, [...create, '--start']);
  const [node, project] = [join(host.dir, 'node.gz'), join(host.dir, 'project.tgz')];
  await run(['sh', '-c', 'gzip -c "$0" > "$1"', process.execPath, node], { timeoutMs: COPY_TIMEOUT_MS });
  await run(['tar', '-czf', project, '-C', REPOSITORY, ...SOURCES], { timeoutMs: COPY_TIMEOUT_MS });
  await done(host, ['cp', node, 'features:/srv/node.gz'], COPY_TIMEOUT_MS);
  await done(host, ['cp', project, 'features:/srv/project.tgz'], COPY_TIMEOUT_MS);
  await done(host, ['exec', 'features', '--', 'sh', '-c', SETUP], COPY_TIMEOUT_MS);

  say((await done(host, ['exec', 'features', '--', 'uname', '-srvm'])).trim());
  // An emulated machine of several processors runs what V8 compiles beside itself wrong now and then (QEMU 7.2: 9 of 87 runs on two,
  // none of 56 on one).
  const program = 'node --single-threaded --conditions=source --disable-warning=ExperimentalWarning';
  // What ends by a signal says nothing itself.
  const told = 'code=$?; [ $code -lt 128 ] || dmesg | tail -n 5; exit $code';
  const guest = host.startCli([
    'exec',
    'features',
    '--',
    'sh',
    '-c',
    `cd /srv && ${program} tests/soak/kernel-features-guest.ts; ${told}`,
  ]);
  guest.stdin.end();
  const closed = once(guest, 'close');
  for (const input of [guest.stdout, guest.stderr]) createInterface({ input }).on('line', say);
  const [exitCode] = (await closed) as [number | null];
  if (exitCode !== 0) say(`FAIL the part in the guest ended with ${exitCode}`);
  return exitCode === 0;
}

async function done(host: TestHost, args: readonly string[], timeoutMs = 5 * 60_000): Promise<string> {
  process.stdout.write(`     skerry ${args.slice(0, 2).join(' ')}\n`);
  const { exitCode, stdout, stderr } = await host.cli(args, { timeoutMs });
  if (exitCode !== 0) throw new Error(`skerry ${args.join(' ')}: ${stdout}${stderr}`);
  return stdout;
}
