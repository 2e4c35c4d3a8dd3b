import * as fc from '@skerry/testkit/properties';
import { expect, test } from 'vitest';
import { readVlans } from '../../../src/networks/kernel/actual-model.ts';
import { isVlans, NEW_PORT, OWN_VLAN, portVlans, vlanLines } from '../../../src/networks/kernel/vlan-plan.ts';

/** As iproute2 6.1 tells it: one entry each, whatever ranges they were given in. */
const TOLD = [
  { ifname: 'br0', vlans: [{ vlan: 4094, flags: ['PVID', 'Egress Untagged'] }] },
  {
    ifname: 'skmaint1',
    vlans: [{ vlan: 10 }, { vlan: 11 }, { vlan: 20, vlanEnd: 22 }, { vlan: 7, flags: ['PVID', 'Egress Untagged'] }],
  },
  { ifname: 'skmaint2' },
];

test('VLANs are read as a bridge tells them', () => {
  expect([...readVlans(TOLD)]).toEqual([
    ['br0', { untagged: 4094, tagged: [] }],
    ['skmaint1', { untagged: 7, tagged: [10, 11, 20, 21, 22] }],
    ['skmaint2', { untagged: undefined, tagged: [] }],
  ]);
});

test('a port gets its own, and loses what it began with', () => {
  const lines = (vlan?: number, trunk?: Array<{ from: number; to: number }>, found = NEW_PORT) =>
    vlanLines('tap', portVlans(vlan, trunk), found);
  expect(lines()).toEqual([]);
  expect(lines(10)).toEqual(['vlan del dev tap vid 4094', 'vlan add dev tap vid 10 pvid untagged']);
  expect(
    lines(undefined, [
      { from: 10, to: 12 },
      { from: 30, to: 30 },
    ]),
  ).toEqual(['vlan del dev tap vid 4094', 'vlan add dev tap vid 10-12', 'vlan add dev tap vid 30']);
  expect(lines(11, [{ from: 10, to: 12 }])).toEqual([
    'vlan del dev tap vid 4094',
    'vlan add dev tap vid 10',
    'vlan add dev tap vid 12',
    'vlan add dev tap vid 11 pvid untagged',
  ]);
  expect(lines(undefined, undefined, { untagged: 10, tagged: [20, 21] })).toEqual([
    'vlan del dev tap vid 10',
    'vlan del dev tap vid 20-21',
    'vlan add dev tap vid 4094 pvid untagged',
  ]);
});

const vlan = fc.integer({ min: 1, max: 40 });
const trunk = fc.array(
  fc.tuple(vlan, vlan).map(([a, b]) => ({ from: Math.min(a, b), to: Math.max(a, b) })),
  { maxLength: 3 },
);
const port = fc
  .tuple(fc.option(vlan, { nil: undefined }), fc.option(trunk, { nil: undefined }))
  .map(([own, ranges]) => portVlans(own, ranges));

/** What a kernel makes of the lines (bridge(8)). */
function taken(lines: readonly string[], before: typeof NEW_PORT): typeof NEW_PORT {
  let untagged = before.untagged;
  const tagged = new Set(before.tagged);
  for (const line of lines) {
    const [, verb, range = '', pvid] = /^vlan (add|del) dev tap vid (\S+)( pvid untagged)?$/.exec(line)!;
    const [from = 0, to = from] = range.split('-').map(Number);
    for (let each = from; each <= to; each += 1) {
      tagged.delete(each);
      if (untagged === each) untagged = undefined;
      if (verb === 'add' && pvid === undefined) tagged.add(each);
      else if (verb === 'add') untagged = each;
    }
  }
  return { untagged, tagged: [...tagged] };
}

test('from whatever a port has to what it is to have, in one go', () => {
  fc.assert(
    fc.property(port, port, (first, second) => {
      const between = taken(vlanLines('tap', first, NEW_PORT), NEW_PORT);
      const end = taken(vlanLines('tap', second, between), between);
      expect(isVlans(second, end)).toBe(true);
      expect(vlanLines('tap', second, end)).toEqual([]);
    }),
    { seed: 5 },
  );
  expect(OWN_VLAN).toBe(4094);
});
