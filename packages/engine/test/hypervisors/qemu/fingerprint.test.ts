import { expect, it } from 'vitest';
import { fingerprint } from '../../../src/hypervisors/qemu/fingerprint.ts';
import { launchOf, microKernel, nic, overlay } from './launches.ts';

const BINARY = process.execPath;
const LAUNCH = launchOf({ disks: [overlay()], nics: [nic(0)] });
const of = (changes: Parameters<typeof launchOf>[0]): Promise<string> => fingerprint({ ...LAUNCH, ...changes }, BINARY);

it('is the same again, and whatever the host measured of its own clock', async () => {
  expect(await of({})).toBe(await of({}));
  expect(await of({ tscKhz: 2_099_999 })).toBe(await of({ tscKhz: 2_100_001 }));
});

it.each([
  ['processors', { cpus: 2 }],
  ['memory', { memoryMib: 256 }],
  ['NICs', { nics: [nic(0), nic(1)] }],
  ['disks', { disks: [] }],
  ['the kernel', { kernel: microKernel({ path: '/cache/kernels/other/vmlinux' }) }],
  ['the initramfs', { kernel: microKernel({ initrdPath: '/cache/initrd/other.cpio' }) }],
  ['the accelerator', { accelerator: 'kvm' as const }],
])('is another for other %s', async (_, changes) => {
  expect(await of(changes)).not.toBe(await of({}));
});

it('is another for another binary', async () => {
  expect(await fingerprint(LAUNCH, '/bin/sh')).not.toBe(await fingerprint(LAUNCH, BINARY));
});
