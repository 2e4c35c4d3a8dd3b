import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startTestHost } from '@skerry/testkit/host';
import { buildDeb, sourceEpoch } from '../../scripts/package/deb.ts';

/**
 * npm run test:install -- systemd|kvm [FILE.deb]: the Debian package on a machine of its own: a fresh debootstrap system in a
 * virtual machine (TCG: 10 minutes and more), without a network, so what its VMs need comes in a bundle. As root.
 */

interface Machine {
  readonly script: string;
  readonly packages: readonly string[];
}

const MACHINES: ReadonlyMap<string, Machine> = new Map([
  ['systemd', { script: 'systemd-cycle.sh', packages: [] }],
  // QEMU's TCG emulates AMD's virtualization too, so its guest has KVM; Debian's kernel has netem, VLAN filtering and AppArmor.
  [
    'kvm',
    {
      script: 'kvm-cycle.sh',
      packages: [
        ...['nftables', 'dnsmasq-base', 'apparmor', 'docker.io', 'iptables', 'firewalld', 'busybox-static'],
        ...['libvirt-daemon-system', 'libvirt-daemon-config-network'],
      ],
    },
  ],
]);

const LIMIT_MS = 3_600_000;

/** @returns undefined when there is no such machine */
export async function testInMachine(which: string, file: string | undefined): Promise<number | undefined> {
  const machine = MACHINES.get(which);
  if (machine === undefined) return undefined;
  const dir = await mkdtemp(join(tmpdir(), 'skerry-machine-'));
  try {
    const deb = file ?? (await buildDeb({ to: dir, epoch: await sourceEpoch(), compression: 1 }));
    const script = join(import.meta.dirname, 'machine-root.sh');
    const bundle = await bundleIn(dir);
    const make = ['sh', script, dir, deb, bundle, machine.script, ...machine.packages];
    const made = await done('unshare', ['-m', '-p', '--fork', '--kill-child', ...make]);
    if (made !== 0) return made;
    const log = join(dir, 'said.log');
    await done('qemu-system-x86_64', [
      ...['-M', 'q35', '-accel', 'tcg,thread=multi', '-cpu', 'max', '-smp', '2', '-m', '3072'],
      ...['-kernel', join(dir, 'vmlinuz'), '-initrd', join(dir, 'initrd')],
      ...['-append', 'root=/dev/vda rw console=ttyS0 quiet', '-nic', 'none', '-display', 'none', '-monitor', 'none'],
      ...['-drive', `file=${join(dir, 'disk.raw')},if=virtio,format=raw,cache=unsafe`],
      ...['-serial', 'null', '-serial', `file:${log}`],
    ]);
    const said = await readFile(log, 'utf8');
    process.stdout.write(said);
    return /^PASSED\r?$/m.test(said) ? 0 : 1;
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

async function bundleIn(dir: string): Promise<string> {
  await using host = await startTestHost();
  const bundle = join(dir, 'site.bundle');
  const { exitCode, stderr } = await host.cli(['bundle', 'create', '--to', bundle, '--image', 'micro'], {
    timeoutMs: LIMIT_MS,
  });
  if (exitCode !== 0) throw new Error(stderr);
  return bundle;
}

async function done(command: string, args: readonly string[]): Promise<number> {
  const child = spawn(command, args, { stdio: ['ignore', 'inherit', 'inherit'], timeout: LIMIT_MS });
  const [exitCode] = (await once(child, 'exit')) as [number | null];
  return exitCode ?? 1;
}
