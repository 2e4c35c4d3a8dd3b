import * as fc from '@skerry/testkit/properties';
import { describe, expect, it } from 'vitest';
import {
  cloneLaunch,
  mountsRoot,
  planEviction,
  shapeOf,
  templateLaunch,
  templateMac,
  type Evictable,
} from '../../src/templates/plan.ts';
import { launchOf, nic, overlay } from '../hypervisors/qemu/launches.ts';

const PLACE = { dir: '/run/t/0123', keeperPath: '/run/t/0123/keep', isolation: { uid: 720_001, gid: 720_001 } };

describe('templateLaunch', () => {
  it('is the same for two VMs that differ only in what is their own', () => {
    const web = launchOf({ disks: [overlay()], nics: [nic(0), nic(1)] });
    const db = launchOf({
      id: '0198c5a4-7b1e-7cc3-9a52-3f6f0a1d2e4c',
      name: 'db',
      dir: '/data/vms/db',
      runtimeDir: '/run/v/db',
      disks: [{ ...overlay(), path: '/data/vms/db/disk.qcow2' }],
      // One of the two on a bridge: what is behind a device is no part of it.
      nics: [
        { ...nic(4), socketName: 'nic0' },
        { ...nic(5), socketName: 'nic1', tap: { name: 'skmaint0123456', vhost: false } },
      ],
      isolation: { uid: 720_005 },
    });
    expect(templateLaunch(db, [2 ** 30], PLACE)).toEqual(templateLaunch(web, [2 ** 30], PLACE));
  });

  it('has devices where a clone has them, and its addresses are told to the clone', () => {
    const launch = launchOf({ disks: [overlay()], nics: [nic(0), nic(1)] });
    const template = templateLaunch(launch, [2 ** 30], PLACE);
    const clone = cloneLaunch(launch, PLACE.keeperPath);
    expect(template.disks).toHaveLength(clone.disks.length);
    expect(clone.nics.map(({ mac }) => mac)).toEqual(template.nics.map(({ mac }) => mac));
    expect(template.reclaimsMemory || clone.reclaimsMemory).toBe(false);
  });

  it('has a device for each shared directory, whatever that is, and nothing behind it', () => {
    const launch = launchOf({ shares: [{ path: '/home/ada/src', readonly: false }] });
    const other = launchOf({ shares: [{ path: '/srv', readonly: true }] });
    const template = templateLaunch(launch, [], PLACE);
    expect(template).toEqual(templateLaunch(other, [], PLACE));
    expect(template.shares).toEqual([{ path: '/run/t/0123/empty', readonly: true }]);
    expect(cloneLaunch(launch, PLACE.keeperPath).shares).toEqual(launch.shares);
    // Another machine than one without: neither makes the other's template stale.
    expect(shapeOf(launch)).not.toEqual(shapeOf(launchOf()));
  });

  it('has the disk that it mounts where a clone has its own', () => {
    const launch = launchOf({ disks: [overlay()], nics: [nic(0)] });
    const root = { path: '/data/templates/0123/disk.qcow2', format: 'qcow2' as const };
    expect(templateLaunch(launch, [2 ** 30], { ...PLACE, root }).disks).toEqual([{ ...root, readonly: false }]);
    expect(templateLaunch(launch, [2 ** 30], PLACE).disks).toEqual([{ format: 'placeholder', sizeBytes: 2 ** 30 }]);
  });

  it('mounts a disk only where that takes long, and only one that nobody has written to', () => {
    const disk = { path: '/images/micro/root.qcow2', format: 'qcow2' as const };
    const want = (accelerator: 'tcg' | 'kvm', root: object) => ({
      launch: launchOf({ accelerator }),
      diskBytes: [2 ** 30],
      image: 'micro',
      ...root,
    });
    expect(mountsRoot(want('tcg', { root: { digest: 'd', disk } }))).toBe(true);
    expect(mountsRoot(want('kvm', { root: { digest: 'd', disk } }))).toBe(false);
    expect(mountsRoot(want('tcg', {}))).toBe(false);
  });

  it('gives each NIC another address', () => {
    expect(new Set(Array.from({ length: 8 }, (_, index) => templateMac(index))).size).toBe(8);
  });
});

describe('planEviction', () => {
  const template = (change: Partial<Evictable>): Evictable => ({
    id: 'a',
    state: 'ready',
    usedAtMs: 1000,
    memoryBytes: 100,
    ...change,
  });
  const limits = { unusedForMs: 500, memoryBytes: 1000 };

  it('lets go of the stale and of the old, and never of one that is being built', () => {
    const templates = [
      template({ id: 'fresh', usedAtMs: 1900 }),
      template({ id: 'old', usedAtMs: 1000 }),
      template({ id: 'stale', usedAtMs: 1990, state: 'stale' }),
      template({ id: 'building', usedAtMs: 0, state: 'building' }),
    ];
    expect(planEviction(templates, limits, 2000).toSorted()).toEqual(['old', 'stale']);
  });

  it('keeps what was used last, and as much of the rest as there is room for', () => {
    const templates = [1, 2, 3].map((at) => template({ id: `t${at}`, usedAtMs: 1900 + at, memoryBytes: 600 }));
    expect(planEviction(templates, limits, 2000)).toEqual(['t1', 't2']);
    expect(planEviction(templates, { ...limits, memoryBytes: 1200 }, 2000)).toEqual(['t1']);
    expect(planEviction(templates, { ...limits, memoryBytes: 0 }, 2000)).toEqual(['t1', 't2']);
  });

  it('what it leaves fits, or is one', () => {
    const any = fc.record({
      id: fc.uuid(),
      state: fc.constantFrom('building' as const, 'ready' as const, 'stale' as const),
      usedAtMs: fc.nat(2000),
      memoryBytes: fc.nat(1000),
    });
    fc.assert(
      fc.property(fc.uniqueArray(any, { selector: ({ id }) => id }), fc.nat(3000), (templates, memoryBytes) => {
        const gone = new Set(planEviction(templates, { unusedForMs: 1000, memoryBytes }, 2000));
        const left = templates.filter(({ id, state }) => state === 'ready' && !gone.has(id));
        const bytes = left.reduce((sum, each) => sum + each.memoryBytes, 0);
        return (
          (left.length <= 1 || bytes <= memoryBytes) &&
          templates.every(({ id, state }) => state !== 'building' || !gone.has(id))
        );
      }),
    );
  });
});
