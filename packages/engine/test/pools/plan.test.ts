import * as fc from '@skerry/testkit/properties';
import { VmSpec, type VmSpecInput } from '@skerry/api';
import { describe, expect, it } from 'vitest';
import {
  giveWayIds,
  isPoolable,
  madeOf,
  nextPoolStep,
  NOTHING,
  type WaitingMember,
  type WantedPool,
} from '../../src/pools/plan.ts';
import type { BootFiles } from '../../src/vms/index.ts';

const boot = (change: { digest?: string; env?: Record<string, string>; kernelPath?: string } = {}): BootFiles => ({
  kernel: {
    which: 'micro',
    path: change.kernelPath ?? '/k/vmlinux',
    initrdPath: '/k/initrd',
    patched: true,
    machine: 'microvm',
  },
  kernelMinMemoryMib: 48,
  image: {
    digest: change.digest ?? 'sha256:aa',
    disk: { path: '/i/aa', format: 'qcow2', readonly: true },
    virtualSizeBytes: 2 ** 28,
    minMemoryMib: 64,
    env: change.env ?? {},
    command: undefined,
  },
});
const pool = (change: Partial<WantedPool> = {}): WantedPool => ({
  image: 'micro',
  size: 2,
  cpus: 1,
  memoryMib: 128,
  madeOf: 'now',
  isHeldBack: false,
  ...change,
});
const member = (id: string, change: Partial<WaitingMember> = {}): WaitingMember => ({
  id,
  image: 'micro',
  madeOf: 'now',
  ...change,
});

describe('isPoolable', () => {
  const spec = (change: Partial<VmSpecInput> = {}): VmSpec =>
    VmSpec.parse({ image: 'micro', cpus: 1, memoryMib: 128, ...change });

  it('takes a VM of whatever a running guest can be given', () => {
    expect(isPoolable(spec())).toBe(true);
    const given = { env: { A: '1' }, command: ['sleep', '9'], nics: [{ network: 'inner' }], ephemeral: true, cpus: 4 };
    expect(isPoolable(spec(given))).toBe(true);
  });

  it.each<[string, Partial<VmSpecInput>]>([
    ['boots', { cold: true }],
    ['has a disk of another size', { diskMib: 512 }],
    ['names its kernel', { kernel: 'micro' }],
    ['has a directory of the host', { shares: [{ hostPath: '/src', guestPath: '/mnt/src' }] }],
    ['has no NIC', { nics: [] }],
    ['has two', { nics: [{ network: 'a' }, { network: 'b' }] }],
  ])('leaves out one that %s', (_, change) => {
    expect(isPoolable(spec(change))).toBe(false);
  });
});

describe('madeOf', () => {
  const shape = { cpus: 1, memoryMib: 128 };
  const usual = madeOf(shape, boot(), 'template-1');

  it('is the same for the same, whatever else the VM is', () => {
    expect(madeOf({ ...shape, ...{ name: 'web' } }, boot(), 'template-1')).toBe(usual);
  });

  it.each<[string, string]>([
    ['template', madeOf(shape, boot(), 'template-2')],
    ['image', madeOf(shape, boot({ digest: 'sha256:bb' }), 'template-1')],
    ['environment of the image', madeOf(shape, boot({ env: { A: '1' } }), 'template-1')],
    ['number of CPUs', madeOf({ ...shape, cpus: 2 }, boot(), 'template-1')],
    ['memory', madeOf({ ...shape, memoryMib: 64 }, boot(), 'template-1')],
    ['kernel', madeOf(shape, boot({ kernelPath: '/k/other' }), 'template-1')],
  ])('is another for another %s', (_, other) => {
    expect(other).not.toBe(usual);
    expect(other).not.toBe(NOTHING);
  });
});

describe('nextPoolStep', () => {
  it('makes one where there are too few, and is content when there are enough', () => {
    expect(nextPoolStep([pool()], [])).toEqual({ step: 'make', image: 'micro' });
    expect(nextPoolStep([pool()], [member('a')])).toEqual({ step: 'make', image: 'micro' });
    expect(nextPoolStep([pool()], [member('a'), member('b')])).toBeUndefined();
  });

  it('ends the youngest when there are too many', () => {
    const waiting = ['a', 'b', 'c', 'd'].map((id) => member(id));
    expect(nextPoolStep([pool()], waiting)).toEqual({ step: 'end', ids: ['c', 'd'] });
  });

  it('ends all of a pool that nobody wants, and those that are not as they would be made now', () => {
    const waiting = [member('a', { madeOf: 'before' }), member('b'), member('c', { image: 'gone' })];
    expect(nextPoolStep([pool()], waiting)).toEqual({ step: 'end', ids: ['a', 'c'] });
    expect(nextPoolStep([pool({ size: 0 })], [member('a')])).toEqual({ step: 'end', ids: ['a'] });
  });

  it('lets one that would be ended not take the place of a good one', () => {
    const waiting = [member('old', { madeOf: 'before' }), member('a'), member('b')];
    expect(nextPoolStep([pool()], waiting)).toEqual({ step: 'end', ids: ['old'] });
  });

  it('ends all where no member can be of use, and makes none', () => {
    expect(nextPoolStep([pool({ madeOf: NOTHING })], [member('a')])).toEqual({ step: 'end', ids: ['a'] });
    expect(nextPoolStep([pool({ madeOf: NOTHING })], [])).toBeUndefined();
  });

  it('leaves alone what nobody knows the make of, and what failed a moment ago', () => {
    expect(nextPoolStep([pool({ madeOf: undefined })], [member('a', { madeOf: 'before' })])).toBeUndefined();
    expect(nextPoolStep([pool({ isHeldBack: true })], [])).toBeUndefined();
  });

  it('fills the emptiest first', () => {
    const pools = [pool({ image: 'full', size: 2 }), pool({ image: 'empty', size: 9 })];
    expect(nextPoolStep(pools, [member('a', { image: 'full' })])).toEqual({ step: 'make', image: 'empty' });
  });

  it('comes to an end, with as many as are wanted of each and no other', () => {
    const image = fc.constantFrom('a', 'b', 'c');
    const pools = fc.uniqueArray(fc.record({ image, size: fc.integer({ min: 0, max: 4 }) }), {
      selector: (each) => each.image,
    });
    const members = fc.array(fc.record({ image, madeOf: fc.constantFrom('now', 'before') }), { maxLength: 12 });
    fc.assert(
      fc.property(pools, members, (sizes, before) => {
        const wanted = sizes.map((each) => pool(each));
        let waiting = before.map((each, index) => member(`m${index}`, each));
        let steps = 0;
        for (let step = nextPoolStep(wanted, waiting); step !== undefined; step = nextPoolStep(wanted, waiting)) {
          if ((steps += 1) > 50) throw new Error('it goes on for ever');
          const { ids, image: made } = { ids: [] as readonly string[], image: undefined, ...step };
          waiting = waiting.filter(({ id }) => !ids.includes(id));
          if (made !== undefined) waiting.push(member(`new${steps}`, { image: made }));
        }
        for (const name of ['a', 'b', 'c']) {
          const size = sizes.find((each) => each.image === name)?.size ?? 0;
          expect(waiting.filter((each) => each.image === name)).toHaveLength(size);
        }
        expect(waiting.every(({ madeOf: was }) => was === 'now')).toBe(true);
      }),
    );
  });
});

describe('giveWayIds', () => {
  const waiting = ['a', 'b', 'c'].map((id) => ({ id, promisedMib: 100 }));

  it('gives up the youngest, and no more than it takes', () => {
    expect(giveWayIds(waiting, 1)).toEqual(['c']);
    expect(giveWayIds(waiting, 100)).toEqual(['c']);
    expect(giveWayIds(waiting, 101)).toEqual(['c', 'b']);
    expect(giveWayIds(waiting, 0)).toEqual([]);
  });

  it('gives up all when that is not enough, or nobody knows what is', () => {
    expect(giveWayIds(waiting, 999)).toEqual(['c', 'b', 'a']);
    expect(giveWayIds(waiting, Number.POSITIVE_INFINITY)).toEqual(['c', 'b', 'a']);
    expect(giveWayIds([], 1)).toEqual([]);
  });
});
