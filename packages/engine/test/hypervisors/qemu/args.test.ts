import * as fc from '@skerry/testkit/properties';
import { describe, expect, it } from 'vitest';
import type { VmLaunch } from '../../../src/hypervisors/index.ts';
import { MAX_MICROVM_DEVICES, qemuPlan } from '../../../src/hypervisors/qemu/args.ts';
import { distroKernel, launchOf, microKernel, nic, overlay } from './launches.ts';

const HOST = { binary: 'qemu-system-x86_64' };

const CASES: Readonly<Record<string, VmLaunch>> = {
  'micro-initramfs-only': launchOf(),
  'micro-disk-and-nic': launchOf({ disks: [overlay()], nics: [nic(0)] }),
  'micro-kvm': launchOf({ accelerator: 'kvm', disks: [overlay()], nics: [nic(0)] }),
  'micro-unpatched-kernel': launchOf({ kernel: microKernel({ patched: false }) }),
  'micro-unknown-tsc': launchOf({ tscKhz: undefined }),
  'micro-four-cpus-two-nics': launchOf({ cpus: 4, memoryMib: 2048, disks: [overlay()], nics: [nic(0), nic(1)] }),
  'micro-on-q35': launchOf({ kernel: microKernel({ machine: 'q35' }), disks: [overlay()] }),
  'micro-chain-of-three-and-readonly-raw': launchOf({
    disks: [
      { ...overlay(), backing: { ...overlay(), backing: { path: '/data/images/base.raw', format: 'raw' } } },
      { path: '/data/images/seed.raw', format: 'raw', readonly: true },
    ],
  }),
  'micro-shares': launchOf({
    disks: [overlay()],
    nics: [nic(0)],
    shares: [
      { path: '/home/ada/src', readonly: false },
      { path: '/srv/da,ta', readonly: true },
    ],
  }),
  'q35-share': launchOf({ kernel: microKernel({ machine: 'q35' }), shares: [{ path: '/srv/data', readonly: false }] }),
  'micro-virtiofs-beside-9p': launchOf({
    disks: [overlay()],
    shares: [
      { path: '/home/ada/src', readonly: false, how: 'virtiofs' },
      { path: '/srv/da,ta', readonly: true, how: 'virtiofs' },
      { path: '/srv/old', readonly: false, how: '9p' },
    ],
  }),
  'q35-virtiofs': launchOf({
    kernel: microKernel({ machine: 'q35' }),
    shares: [{ path: '/srv/data', readonly: true, how: 'virtiofs' }],
  }),
  'micro-taps': launchOf({
    nics: [
      { ...nic(0), tap: { name: 'skmaint0123456', vhost: false } },
      { ...nic(1), tap: { name: 'skmaint6543210', vhost: true } },
    ],
  }),
  'distro-disk-and-nic': launchOf({ kernel: distroKernel(), disks: [overlay()], nics: [nic(0)] }),
  'distro-kvm': launchOf({ kernel: distroKernel(), accelerator: 'kvm', tscKhz: undefined }),
  'template-boots': launchOf({
    disks: [{ format: 'placeholder', sizeBytes: 2 ** 30 }],
    nics: [nic(0)],
    reclaimsMemory: false,
    origin: { kind: 'template', keeperPath: '/run/t/0123456789ab/keep' },
  }),
  'template-goes-on-from-a-file': launchOf({
    origin: { kind: 'template', keeperPath: '/run/t/0123456789ab/keep', statePath: '/data/vms/x/state' },
  }),
  clone: launchOf({
    disks: [overlay()],
    nics: [nic(0)],
    reclaimsMemory: false,
    origin: { kind: 'clone', keeperPath: '/run/t/0123456789ab/keep' },
  }),
  'clone-that-waits': launchOf({ origin: { kind: 'clone', keeperPath: '/run/t/0123456789ab/keep', paused: true } }),
  saved: launchOf({
    disks: [overlay()],
    origin: { kind: 'saved', statePath: '/data/vms/x/state', layout: 'stream' },
  }),
  'saved-with-a-place-for-each-page': launchOf({
    origin: { kind: 'saved', statePath: '/data/vms/x/state', layout: 'mapped' },
  }),
  'extra-kernel-args-and-a-comma': launchOf({ name: 'a,b', extraKernelArgs: ['ipv6.disable=1', 'loglevel=7'] }),
};

/** One argument pair a line, then the descriptors: what a reader of a diff wants. */
function shown(launch: VmLaunch): string {
  const plan = qemuPlan(launch, HOST);
  const lines: string[] = [];
  for (const arg of plan.argv) {
    const last = lines.at(-1);
    if (last === undefined || arg.startsWith('-') || !/^-[a-z-]+$/.test(last)) lines.push(arg);
    else lines[lines.length - 1] = `${last} ${arg}`;
  }
  return [
    ...lines,
    '',
    ...plan.listen.map(({ name, path }) => `listen ${name} ${path}`),
    ...plan.open.map(({ name, path, mode }) => `open ${name} ${mode} ${path}`),
    ...plan.share.map(({ name, path, readonly }) => `share ${name} ${readonly ? 'ro' : 'rw'} ${path}`),
    ...plan.served.map(({ name, path, readonly }) => `served ${name} ${readonly ? 'ro' : 'rw'} ${path}`),
    ...Object.entries(plan.taps).map(([name, tap]) => `tap ${name} ${tap}`),
    ...Object.entries(plan.objects).map(([name, bytes]) => `object ${name} ${bytes}`),
    ...Object.entries(plan.take).map(([name, { keepPath, object }]) => `take ${name} ${object} from ${keepPath}`),
    ...(plan.keepPath === undefined ? [] : [`keep ${plan.keepPath}`]),
    '',
  ].join('\n');
}

describe('qemuPlan', () => {
  it.each(Object.entries(CASES))('%s', async (name, launch) => {
    await expect(shown(launch)).toMatchFileSnapshot(`golden/${name}.txt`);
  });

  it('has no room for more devices than the machine, and says what to do', () => {
    const nics = Array.from({ length: MAX_MICROVM_DEVICES }, (_, index) => nic(index));
    expect(() => qemuPlan(launchOf({ nics }), HOST)).not.toThrow();
    expect(() => qemuPlan(launchOf({ nics, disks: [overlay()] }), HOST)).toThrow(/room for 5 disks, NICs and shares/);
    expect(() => qemuPlan(launchOf({ nics, disks: [overlay()], kernel: distroKernel() }), HOST)).not.toThrow();
  });

  it('never goes on from memory that another process could not see', () => {
    const shares = [{ path: '/srv', readonly: false, how: 'virtiofs' as const }];
    const origin = { kind: 'clone' as const, keeperPath: '/run/t/0123456789ab/keep' };
    expect(() => qemuPlan(launchOf({ shares, origin }), HOST)).toThrow(/it boots/);
    expect(() => qemuPlan(launchOf({ shares: [{ path: '/srv', readonly: false }], origin }), HOST)).not.toThrow();
  });

  it('passes no path of the host to QEMU, whatever the paths are', () => {
    const path = fc.string({ minLength: 1, maxLength: 40 }).map((text) => `/secret/${text}`);
    fc.assert(
      fc.property(path, path, path, (kernel, disk, dir) => {
        const launch = launchOf({
          dir,
          runtimeDir: dir,
          kernel: microKernel({ path: kernel, initrdPath: kernel }),
          disks: [{ path: disk, format: 'raw', readonly: false }],
          nics: [nic(0)],
          shares: [
            { path: dir, readonly: false },
            { path: dir, readonly: false, how: 'virtiofs' },
          ],
        });
        const { argv, open, listen } = qemuPlan(launch, HOST);
        expect(argv.filter((arg) => arg.includes('/secret/'))).toEqual([]);
        expect([...open, ...listen].every((one) => one.path.startsWith('/secret'))).toBe(true);
      }),
    );
  });

  it('uses every descriptor exactly once, under a name of its own', () => {
    for (const launch of Object.values(CASES)) {
      const { argv, open, listen, share } = qemuPlan(launch, HOST);
      const names = [...open, ...listen, ...share].map(({ name }) => name);
      expect(new Set(names).size).toBe(names.length);
      for (const name of names) expect(argv.join(' ').split(`{${name}}`)).toHaveLength(2);
    }
  });

  it('tells QEMU of no backing file but the one that the caller named', () => {
    const { argv } = qemuPlan(launchOf({ disks: [{ path: '/d', format: 'qcow2', readonly: false }] }), HOST);
    expect(argv.find((arg) => arg.includes('"driver":"qcow2"'))).toContain('"backing":null');
  });
});
