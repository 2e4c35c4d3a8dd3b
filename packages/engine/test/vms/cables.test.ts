import { expect, test } from 'vitest';
import { setAllCables, setCable, setNewCables } from '../../src/vms/cables.ts';

const given = (index: number) => ({ network: 'n', index, mac: '52:54:00:aa:bb:01', address: '10.0.0.2' });
/** eth0 in, eth1 out by a fault, eth3 out as asked for, and by a fault that is over. */
const vm = {
  id: 'vm-1',
  spec: { nics: [{ network: 'n' }, { network: 'n' }, { network: 'n', link: 'down' as const }] },
  status: { nics: [given(0), given(1), given(3)] },
};
const networks = { cableOutUntilMs: async (_: string, index: number) => [0, Infinity, 0, 1][index] ?? 0 };

function machine() {
  const set: unknown[][] = [];
  return { set, setLink: async (...link: unknown[]) => void set.push(link) };
}

test('a machine that is new is told of cables that are not in; one with memory of all', async () => {
  const [fresh, remembering] = [machine(), machine()];
  await setNewCables(fresh, vm, networks);
  expect(fresh.set).toEqual([
    [1, true, Infinity],
    [3, false, 1],
  ]);
  await setAllCables(remembering, vm, networks);
  expect(remembering.set).toEqual([[0, true, 0], ...fresh.set]);
});

test('the device of a NIC that is gone has no cable', async () => {
  const { set, ...it } = machine();
  await setCable(it, vm, 2, networks);
  expect(set).toEqual([[2, false, 0]]);
});
