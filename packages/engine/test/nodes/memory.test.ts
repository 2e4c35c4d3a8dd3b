import { VmSpec, type NodeSpec, type Vm } from '@skerry/api';
import { vmOf } from '@skerry/testkit/contract-server';
import { expect, test } from 'vitest';
import type { SaveManifest } from '../../src/nodes/manifest.ts';
import { forkAsks, memoryAsks, restoreAsks } from '../../src/nodes/memory.ts';
import { OVERHEAD_MIB, planAdmission } from '../../src/vms/index.ts';

const member = (name: string, memoryMib: number, state: 'running' | 'paused' | 'stopped'): [string, Vm] => {
  const vm = vmOf(`shop/${name}`, {}, { state });
  return [name, { ...vm, spec: { ...vm.spec, memoryMib } }];
};
const spec = (vms: Record<string, number>): NodeSpec =>
  ({ vms: Object.fromEntries(Object.entries(vms).map(([name, memoryMib]) => [name, { memoryMib }])) }) as never;
const nothingLeft = { budgetMib: 0, promisedMib: 0, availableMib: 0, pendingMib: 0 };
const lackingMib = (asks: Parameters<typeof planAdmission>[0]): number =>
  planAdmission(asks, nothingLeft).lacksBudgetMib;

test('a node asks for what its VMs need beyond what those have that run', () => {
  const members = new Map([member('a', 128, 'running'), member('b', 128, 'stopped'), member('d', 64, 'paused')]);
  expect(lackingMib(memoryAsks(spec({ a: 128, d: 64 }), members))).toBe(0);
  expect(planAdmission(memoryAsks(spec({ a: 128, d: 64 }), members), nothingLeft).fits).toBe(2);
  expect(lackingMib(memoryAsks(spec({ a: 192 }), members))).toBe(64);
  expect(lackingMib(memoryAsks(spec({ a: 128, b: 128, c: 64 }), members))).toBe(128 + 64 + 2 * OVERHEAD_MIB);
});

test('a fork of it asks for all that those have that run', () => {
  const members = new Map([member('a', 128, 'running'), member('b', 128, 'stopped'), member('d', 64, 'paused')]);
  const asks = forkAsks(members);
  expect(lackingMib(asks)).toBe(128 + 64 + 2 * OVERHEAD_MIB);
  expect(planAdmission(asks, nothingLeft).lacksMemoryMib).toBe(lackingMib(asks));
});

test('a restore asks for those that go on, less what runs in their places', () => {
  const saved = (name: string, memoryMib: number, memory: object | undefined) => ({
    name,
    spec: VmSpec.parse({ image: 'micro', cpus: 1, memoryMib }),
    ...(memory === undefined ? {} : { memory }),
  });
  const manifest = { vms: [saved('a', 128, {}), saved('b', 128, undefined), saved('c', 64, {})] };
  const asks = (members: ReadonlyMap<string, Vm>) => restoreAsks(manifest as unknown as SaveManifest, members);
  expect(lackingMib(asks(new Map()))).toBe(128 + 64 + 2 * OVERHEAD_MIB);
  expect(lackingMib(asks(new Map([member('a', 128, 'running')])))).toBe(64 + OVERHEAD_MIB);
});
