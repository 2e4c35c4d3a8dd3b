import * as fc from '@skerry/testkit/properties';
import { expect, test } from 'vitest';
import {
  badBlocks,
  diskFaultPlan,
  diskFaultUndo,
  filterOf,
  underOf,
} from '../../../src/hypervisors/qemu/disk-fault-plan.ts';

const top = { device: '/machine/peripheral/vd0', node: 'disk0-1', sizeBytes: 64 * 2 ** 20 };
const drive = (value: string) => ({
  execute: 'qom-set',
  arguments: { path: top.device, property: 'drive', value },
});
const gone = { execute: 'blockdev-del', arguments: { 'node-name': 'fault-disk0-1' } };

test('a slow disk: a throttle between device and disk, and out again with its group', () => {
  expect(diskFaultPlan([top], { kind: 'latency', ms: 20 })).toEqual({
    make: [
      {
        execute: 'object-add',
        arguments: { 'qom-type': 'throttle-group', id: 'fault-group-disk0-1', limits: { 'iops-total': 50 } },
      },
      {
        execute: 'blockdev-add',
        arguments: {
          driver: 'throttle',
          'node-name': 'fault-disk0-1',
          file: 'disk0-1',
          'throttle-group': 'fault-group-disk0-1',
        },
      },
    ],
    insert: [drive('fault-disk0-1')],
  });
  expect(diskFaultUndo([top], 'latency')).toEqual([
    drive('disk0-1'),
    gone,
    { execute: 'object-del', arguments: { id: 'fault-group-disk0-1' } },
  ]);
});

test('a disk that fails: every request, or those of the blocks that the seed has chosen', () => {
  const all = diskFaultPlan([top], { kind: 'error', share: 1, seed: 1 }).make[0]?.arguments['inject-error'];
  expect(all).toEqual([{ event: 'none', errno: 5, once: false }]);
  const some = diskFaultPlan([top], { kind: 'error', share: 0.001, seed: 1 }).make[0]?.arguments['inject-error'];
  expect(some).toHaveLength(16);
  expect((some as Array<{ sector: number }>).every(({ sector }) => sector % 8 === 0 && sector < 131_072)).toBe(true);
});

test('a device that has its disk already is not given it again: QEMU would not survive it', () => {
  expect(diskFaultUndo([top], 'error', [])).toEqual([gone]);
  expect(underOf(filterOf('disk3-2'))).toBe('disk3-2');
});

test('the same seed chooses the same blocks, all of them on the disk; too many are refused', () => {
  const blocks = 2 ** 18;
  expect(badBlocks(blocks, 0.00001, 7)).toEqual(badBlocks(blocks, 0.00001, 7));
  expect(badBlocks(blocks, 0.0001, 7)).not.toEqual(badBlocks(blocks, 0.0001, 8));
  expect(() => badBlocks(blocks, 0.01, 7)).toThrow(
    expect.objectContaining({ code: 'invalid', remedy: expect.stringContaining('0.0976%') }),
  );
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 2 ** 30 }),
      fc.nat(2 ** 32 - 1),
      fc.integer({ min: 1, max: 256 }),
      (size, seed, count) => {
        fc.pre(count <= size);
        const chosen = badBlocks(size, count / size, seed);
        expect(new Set(chosen).size).toBe(count);
        expect(chosen.every((block) => Number.isInteger(block) && block >= 0 && block < size)).toBe(true);
      },
    ),
    { numRuns: 200 },
  );
});
