import { MAX_NICS, SkerryError, type DeclaredNic, type Vm } from '@skerry/api';
import * as fc from '@skerry/testkit/properties';
import { describe, expect, test } from 'vitest';
import { nicsAfter, planNics } from '../../src/vms/nic-change-plan.ts';
import { changedNic, nicIndexes, withNic, withoutNic } from '../../src/vms/nic-plan.ts';

/** Which NICs go and come when the file of a VM names other networks. */

type Nics = Pick<Vm, 'name' | 'spec' | 'status'>;

/** @param nics network of each NIC, with its number where it is not its place */
const vmOn = (...nics: Array<string | readonly [string, number]>): Vm => {
  const both = nics.map((nic) => (typeof nic === 'string' ? { network: nic } : { network: nic[0], index: nic[1] }));
  const given = both.map((nic) => ({ ...nic, mac: '', address: '' }));
  return { name: 'web', spec: { nics: both }, status: { nics: given } } as unknown as Vm;
};
const plan = (vm: Vm, wanted: ReadonlyArray<DeclaredNic | string>, devices = MAX_NICS) =>
  planNics(vm, nicsAfter(vm.spec.nics, wanted), devices, true);

/** As NIC service does it, step by step. */
function done(vm: Nics, { remove, add }: ReturnType<typeof planNics>): Nics {
  let now = vm;
  for (const index of remove) now = { ...now, ...withoutNic(now, index) };
  for (const nic of add) {
    expect(nicIndexes(now.status.nics)).not.toContain(nic.index);
    now = { ...now, ...withNic(now, nic, { ...nic, mac: '', address: '' }) };
  }
  return now;
}

describe('from the networks of a VM to those of its file', () => {
  test.each<[Vm, string[], number[], string[]]>([
    [vmOn('a', 'b'), ['a', 'b'], [], []],
    [vmOn('a'), ['a', 'b'], [], ['b at eth1']],
    [vmOn('a', 'b'), ['b'], [0], []],
    [vmOn('a', 'b', 'c'), ['a', 'd', 'c'], [1], ['d at eth1']],
    [vmOn('a', 'a'), ['a'], [1], []],
    [vmOn('a', ['c', 2]), ['a', 'b', 'c'], [], ['b at eth1']],
    [vmOn('a'), [], [0], []],
    [vmOn(), ['a'], [], ['a at eth0']],
  ])('%#: -> %j: %j go, %j come', (vm, wanted, remove, add) => {
    const steps = plan(vm, wanted);
    expect(steps.remove).toEqual(remove);
    expect(steps.add.map(({ network, index }) => `${network} at eth${index}`)).toEqual(add);
  });

  test('NICs that would change places are refused, with what would be there', () => {
    expect(() => plan(vmOn('a'), ['b', 'a'])).toThrow(
      expect.objectContaining({ code: 'unsupported', remedy: expect.stringContaining('`networks: [a, b]`') }),
    );
    expect(() => plan(vmOn('a', 'b'), ['b', 'a'])).toThrow(/would change places/);
  });

  test('what its machine has no device for is refused before anything goes', () => {
    expect(() => plan(vmOn('a'), ['a', 'b', 'c'], 2)).toThrow(/no spare NIC left/);
    expect(plan(vmOn('a', 'b'), ['a', 'c'], 2)).toEqual({ remove: [1], set: [], add: [{ network: 'c', index: 1 }] });
  });

  test('what is declared of a NIC that stays is set, and only that', () => {
    const vm = vmOn('a', 'b');
    const eth0 = { network: 'a', vlan: 10, rateKbit: 50_000, mac: '02:00:00:00:00:01' };
    vm.spec.nics[0] = eth0;
    const stays = { remove: [], set: [], add: [] };
    expect(plan(vm, ['a', 'b'])).toEqual(stays);
    expect(plan(vm, [eth0, { network: 'b', link: 'up' }])).toEqual(stays);
    expect(
      plan(vm, [
        { network: 'a', trunk: [{ from: 10, to: 20 }] },
        { network: 'b', link: 'down' },
      ]).set,
    ).toEqual([
      { index: 0, patch: { vlan: null, trunk: [{ from: 10, to: 20 }], rateKbit: null } },
      { index: 1, patch: { link: 'down' } },
    ]);
    const { set, add } = plan(vm, [eth0, 'b', { network: 'b', address: '10.0.0.9' }]);
    expect([set, add]).toEqual([[], [{ network: 'b', address: '10.0.0.9', index: 2 }]]);
  });

  test('what a declaration changes is what it says, whatever there was', () => {
    const nic = fc.record(
      {
        network: fc.constant('a'),
        vlan: fc.constantFrom(10, 20),
        rateKbit: fc.constantFrom(8, 9),
        link: fc.constantFrom('up' as const, 'down' as const),
        address: fc.constantFrom('10.0.0.9', '10.0.0.8'),
      },
      { requiredKeys: ['network'] },
    );
    fc.assert(
      fc.property(nic, nic, (own, wanted) => {
        const vm = vmOn('a');
        vm.spec.nics[0] = own;
        const [step] = plan(vm, [wanted]).set;
        const after = step === undefined ? own : changedNic(own, step.patch);
        expect(nicsAfter([after], undefined)).toEqual(nicsAfter([after], [wanted]));
        expect(after.vlan).toBe(wanted.vlan);
      }),
    );
  });

  test('what is planned leads to what is wanted, and what is not in it stays', () => {
    const network = fc.constantFrom('a', 'b', 'c', 'd');
    const lists = fc.array(network, { maxLength: MAX_NICS });
    fc.assert(
      fc.property(lists, lists, (own, wanted) => {
        const vm = vmOn(...own);
        try {
          const after = done(vm, plan(vm, wanted));
          expect(after.spec.nics.map((nic) => nic.network)).toEqual(wanted);
          expect(plan(after as Vm, wanted)).toEqual({ remove: [], set: [], add: [] });
        } catch (error) {
          if (!(error instanceof SkerryError)) throw error;
          expect(error.code).toBe('unsupported');
          expect(own.join()).not.toBe(wanted.join());
        }
      }),
    );
  });
});
