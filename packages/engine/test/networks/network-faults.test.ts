import { expect, test } from 'vitest';
import { NodeFile, NodeSpec, checkNodeSpec, nodeSpecOf, type Node } from '@skerry/api';
import { declaredImpairments, NetworkFaults, segmentPartition } from '../../src/networks/network-faults.ts';
import { segmentFor, type PlannedNetwork, type PlannedVm } from '../../src/networks/plan.ts';

const nic = (network: string, index?: number) => ({
  networkId: network,
  mac: `02:00:00:00:00:0${index ?? 0}`,
  address: '10.0.0.2',
  socketPath: '/s',
  ...(index === undefined ? {} : { index }),
});
const vms: PlannedVm[] = [
  { id: 'a', name: 'shop/web', nics: [nic('n'), nic('m', 3)] },
  { id: 'b', name: 'shop/db', nics: [nic('n')] },
];
const network = { id: 'n', name: 'n', mode: 'nat', subnet: '10.0.0.0/24', gateway: '10.0.0.1' } as PlannedNetwork;
const host = { addresses: [], resolvers: [] };
const file = (impair: unknown) =>
  NodeFile.safeParse({ apiVersion: 'skerry/v1', name: 'shop', vms: { web: { replicas: 2 } }, impair });

test('a node file says what its wires are like', () => {
  const read = file([{ nic: 'web:eth0', dir: 'a2b', delay: '20ms', loss: '1%', rate: '20mbit', seed: 7 }]);
  const spec = NodeSpec.parse(nodeSpecOf(read.data!, { sources: new Map(), recipes: new Map() }));
  const impairment = { delayMs: 20, loss: 0.01, rateKbit: 20_000 };
  expect(spec.impair).toEqual([{ nic: 'web:eth0', dir: 'a2b', impairment, seed: 7 }]);
  expect(checkNodeSpec(spec)).toEqual([]);
  const both = {
    ...spec,
    impair: [...spec.impair!, { nic: 'web:eth0', dir: 'both' as const, impairment: { loss: 1 } }],
  };
  const first = { index: 0, impairment: { out: impairment, seed: 7 } };
  const second = { index: 0, impairment: { out: { loss: 1 }, in: { loss: 1 }, seed: 0 } };
  expect(declaredImpairments([{ name: 'shop', spec: both } as Node])).toEqual(
    new Map([
      ['shop/web', [first, second]],
      ['shop/web-2', [first, second]],
    ]),
  );
  for (const bad of [{ nic: 'web' }, { nic: 'web:eth0', loss: '200%' }, { nic: 'web:eth0', delay: 'soon' }]) {
    expect(file([bad]).success).toBe(false);
  }
  const wrong = (at: string) => checkNodeSpec({ ...spec, impair: [{ ...spec.impair![0]!, nic: at }] });
  expect(wrong('db:eth0')).toMatchObject([{ path: ['impair', 0, 'nic'], remedy: 'Name one of web.' }]);
  expect(wrong('web:eth1')).toMatchObject([{ message: 'web has no eth1' }]);
});

test('faults are told with what is asked for, until their time', async () => {
  const declared = {
    name: 'shop',
    spec: { vms: {}, impair: [{ nic: 'web:eth3', dir: 'a2b', impairment: { loss: 0.1 } }] },
  };
  const faults = new NetworkFaults(async () => [declared as unknown as Node]);
  await faults.read();
  const impairment = { out: { delayMs: 5 }, seed: 1, untilMs: Date.now() + 60_000 };
  faults.impair('f', { vmId: 'a', index: 3, impairment });
  faults.impair('over', { vmId: 'b', index: 0, impairment: { ...impairment, untilMs: 1 } });
  faults.part('p', { groups: [['a'], ['b']] });
  const [web, db] = vms.map((vm) => faults.onVm(vm));
  expect(web?.nics.map(({ impairments }) => impairments)).toEqual([
    undefined,
    [{ out: { loss: 0.1 }, seed: 0 }, impairment],
  ]);
  expect(db).toBe(vms[1]);
  const segment = segmentFor(faults.onNetwork(network, vms), vms, host);
  expect(segment.partitions).toEqual([{ groups: [['a/0'], ['b/0']] }]);
  // Nobody is kept from anybody where only one group is.
  expect(faults.onNetwork({ ...network, id: 'm' }, vms).partitions).toBeUndefined();
  faults.end('p');
  expect(faults.onNetwork(network, vms)).toBe(network);
  expect(segmentPartition({ groups: [['a'], ['b']], untilMs: 5 }, 'm', vms)).toEqual({ groups: [['a/3']], untilMs: 5 });
});

test('a cable is out until the last of its faults is over', () => {
  const faults = new NetworkFaults(async () => []);
  const pull = (id: string, untilMs?: number) =>
    faults.impair(id, { vmId: 'a', index: 3, impairment: { down: true, seed: 0, untilMs } });
  faults.impair('lossy', { vmId: 'a', index: 3, impairment: { out: { loss: 1 }, seed: 0, untilMs: 99 } });
  expect(faults.cableOutUntilMs('a', 3)).toBe(0);
  pull('first', 7);
  pull('second', 9);
  expect([faults.cableOutUntilMs('a', 3), faults.cableOutUntilMs('a', 0), faults.cableOutUntilMs('b', 3)]).toEqual([
    9, 0, 0,
  ]);
  pull('third');
  expect(faults.cableOutUntilMs('a', 3)).toBe(Infinity);
  // Two that are alike: the end of one is not that of the other.
  pull('fourth');
  faults.end('third');
  const alike = { vmId: 'a', index: 3, impairment: { down: true, seed: 0 } } as const;
  expect(faults.impairs({ ...alike, impairment: { ...alike.impairment, untilMs: undefined } })).toBe(true);
  faults.end('fourth');
  expect(faults.cableOutUntilMs('a', 3)).toBe(9);
});
