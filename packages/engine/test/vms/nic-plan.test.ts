import { describe, expect, test } from 'vitest';
import * as fc from '@skerry/testkit/properties';
import { MAX_NICS, Nic, type NicStatus, type Vm } from '@skerry/api';
import {
  assertOwnNic,
  changedNic,
  deviceMacs,
  nicDevices,
  nicIndexes,
  nicInfos,
  placeOf,
  SPARE_NICS,
  spareMac,
  withNic,
  withoutNic,
} from '../../src/vms/nic-plan.ts';
import { SPARE_MAC } from '../../src/vms/agent/index.ts';

const given = (index: number | undefined, mac: string): NicStatus => ({
  network: 'lab',
  mac,
  address: '10.213.0.9',
  ...(index === undefined ? {} : { index }),
});

type Lists = { spec: { nics: Nic[] }; status: { nics: NicStatus[]; start?: Vm['status']['start'] } };
const declared = (count: number): Lists => ({
  spec: { nics: Array.from({ length: count }, (_, n) => ({ network: `n${n}` })) },
  status: {
    nics: Array.from({ length: count }, (_, n) => ({ ...given(undefined, `02:00:00:00:00:0${n}`), network: `n${n}` })),
  },
});
const vm = (lists: Lists, name = 'web') => ({ name, ...lists }) as unknown as Vm;

describe('devices of a machine', () => {
  test('one for each NIC and the spare ones, whose name the agent knows', () => {
    expect(nicDevices([{ index: 0, mac: 'a' }], 'microvm', 4)).toEqual([
      { mac: 'a', socketName: 'nic0' },
      ...Array.from({ length: SPARE_NICS.microvm }, (_, n) => ({
        mac: spareMac(n + 1),
        socketName: `nic${n + 1}`,
        isSpare: true,
      })),
    ]);
    expect(Buffer.from(spareMac(3).replaceAll(':', ''), 'hex')).toEqual(Buffer.concat([SPARE_MAC, Buffer.from([3])]));
  });

  test('a gap is a spare one', () => {
    expect(nicDevices([{ index: 2, mac: 'c' }], 'microvm', 4).map(({ mac }) => mac)).toEqual([
      spareMac(0),
      spareMac(1),
      'c',
    ]);
  });

  test('no more than there is room for, but never fewer than the NICs', () => {
    expect(nicDevices([{ index: 0, mac: 'a' }], 'q35', 1)).toHaveLength(1);
    expect(nicDevices([{ index: 0, mac: 'a' }], 'q35', 0)).toHaveLength(1);
    expect(
      nicDevices(
        Array.from({ length: MAX_NICS }, (_, index) => ({ index, mac: `${index}` })),
        'q35',
        24,
      ),
    ).toHaveLength(MAX_NICS);
    expect(nicDevices([{ index: 0, mac: 'a' }], 'q35', 23)).toHaveLength(1 + SPARE_NICS.q35);
  });
});

test('NICs that come and go: numbers stay, lists are in order, devices are called as their NICs', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(MAX_NICS - 1), { maxLength: 30 }), fc.nat(3), (turns, count) => {
      let lists = declared(count);
      const model = new Map(lists.spec.nics.map((nic, index) => [index, nic.network]));
      for (const index of turns) {
        if (model.delete(index)) lists = withoutNic(lists, index);
        else {
          model.set(index, `x${index}`);
          lists = withNic(
            lists,
            { network: `x${index}`, index },
            { ...given(index, spareMac(index)), network: `x${index}` },
          );
        }
        const wanted = [...model].toSorted(([a], [b]) => a - b);
        expect(nicIndexes(lists.spec.nics)).toEqual(wanted.map(([each]) => each));
        expect(nicInfos(lists).map(({ name, network }) => [name, network])).toEqual(
          wanted.map(([each, name]) => [`eth${each}`, name]),
        );
        expect(lists.status.nics.map(({ network }) => network)).toEqual(lists.spec.nics.map(({ network }) => network));
      }
    }),
  );
});

test('a machine keeps its devices when a NIC goes', () => {
  const start = { nicDevices: 3 } as Vm['status']['start'];
  const lists = withoutNic({ ...declared(2), status: { ...declared(2).status, start } }, 0);
  expect(deviceMacs(lists.status)).toEqual([spareMac(0), '02:00:00:00:00:01', spareMac(2)]);
  // One that an older version has started has as many as it had NICs.
  const old = withoutNic({ ...declared(2), status: { ...declared(2).status, start: {} as Vm['status']['start'] } }, 0);
  expect(deviceMacs(old.status)).toEqual([spareMac(0), '02:00:00:00:00:01']);
});

test.each([
  [undefined, 2, true, 1],
  [1, 2, true, 1],
  [3, 4, false, 3],
  [0, 2, true, 'in-use'],
  [undefined, 1, true, 'unsupported'],
  [2, 2, true, 'unsupported'],
  [4, 4, false, 'unsupported'],
])('a NIC wanted at %s of %i devices (running: %s): %s', (wanted, devices, isRunning, result) => {
  const place = (): number => placeOf(vm(declared(1)), wanted, devices, isRunning);
  if (typeof result === 'number') expect(place()).toBe(result);
  else expect(place).toThrow(expect.objectContaining({ code: result, remedy: expect.any(String) }));
});

test('a change: what is left out stays, null goes, one VLAN or a trunk', () => {
  const nic = { network: 'lab', vlan: 10, rateKbit: 8000 };
  expect(changedNic(nic, { link: 'down' })).toEqual({ ...nic, link: 'down' });
  expect(changedNic(nic, { rateKbit: null, vlan: null })).toEqual({ network: 'lab' });
  expect(changedNic(nic, { trunk: [{ from: 1, to: 2 }] })).toEqual({
    network: 'lab',
    rateKbit: 8000,
    trunk: [{ from: 1, to: 2 }],
  });
  expect(Nic.parse(changedNic(nic, { address: '10.0.0.9' }))).toMatchObject({ address: '10.0.0.9', vlan: 10 });
});

test("of a node's VM only what was added by hand is its own", () => {
  const lists = withNic(declared(1), { network: 'lab', index: 1 }, given(1, 'x'));
  expect(() => assertOwnNic(vm(lists, 'shop/web'), 1)).not.toThrow();
  expect(() => assertOwnNic(vm(lists, 'shop/web'), 0)).toThrow(expect.objectContaining({ code: 'refused' }));
  expect(() => assertOwnNic(vm(lists), 0)).not.toThrow();
  expect(() => assertOwnNic(vm(lists), 4)).toThrow(expect.objectContaining({ code: 'not-found' }));
});
