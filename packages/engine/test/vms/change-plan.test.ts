import { declarationOf, VmSpec, type Vm, type VmDeclaration } from '@skerry/api';
import { describe, expect, test } from 'vitest';
import { assertMeant, planChange, saysTheSame, specAfter } from '../../src/vms/change-plan.ts';
import { nextStep, shapeOf, vanishes } from '../../src/vms/model.ts';

const vmIn = (state: Vm['status']['state'], spec: object = {}, status: object = {}): Vm =>
  ({
    name: 'web',
    labels: {},
    spec: VmSpec.parse({ image: 'micro', cpus: 1, memoryMib: 128, power: 'running', restarts: 2, ...spec }),
    status: { state, health: 'none', nics: [], warnings: [], restarts: 2, ...status },
  }) as unknown as Vm;

describe('what differs', () => {
  const wanted = (vm: Vm, change: object): VmDeclaration => ({ ...declarationOf(vm), ...change });

  test('counts at once, or from the next start on', () => {
    const vm = vmIn('running');
    const change = { title: 'x', labels: { a: 'b' }, memoryMib: 256, env: { A: '1' }, forwards: [], protected: true };
    expect(planChange(vm, wanted(vm, change))).toEqual({
      changed: expect.arrayContaining(['title', 'labels', 'memoryMib', 'env', 'protected']),
      atNextStart: expect.arrayContaining(['memoryMib', 'env']),
    });
    expect(planChange(vm, wanted(vm, change)).atNextStart).toHaveLength(2);
    const stopped = vmIn('stopped');
    expect(planChange(stopped, wanted(stopped, change)).atNextStart).toEqual([]);
  });

  test('nothing, in another order or said by leaving it out', () => {
    const vm = vmIn('running', { env: { A: '1', B: '2' } });
    expect(planChange(vm, wanted(vm, { env: { B: '2', A: '1' }, protected: false })).changed).toEqual([]);
    expect(saysTheSame(vm, wanted(vm, { protected: false }))).toBe(true);
    expect(saysTheSame(vm, wanted(vm, { cold: true }))).toBe(false);
  });

  test.each([{ image: 'other' }, { diskMib: 4096 }])('%j is refused', (change) => {
    const vm = vmIn('stopped');
    expect(() => planChange(vm, wanted(vm, change))).toThrow(
      expect.objectContaining({ code: 'unsupported', remedy: expect.stringContaining('skerry delete web') }),
    );
  });

  test('networks count at once: NICs come and go', () => {
    const vm = vmIn('running');
    expect(planChange(vm, wanted(vm, { networks: ['other'] }))).toEqual({ changed: ['networks'], atNextStart: [] });
  });

  test('NICs are told apart: other networks, or other things of one', () => {
    const vm = vmIn('running', { nics: [{ network: 'a', vlan: 10, mac: '02:00:00:00:00:01' }, { network: 'b' }] });
    const changed = (change: object) => planChange(vm, wanted(vm, { nics: undefined, ...change })).changed;
    const eth0 = { network: 'a', vlan: 10 };
    expect(changed({})).toEqual([]);
    expect(changed({ networks: ['a', 'b'] })).toEqual([]);
    expect(changed({ nics: [eth0, { network: 'b', link: 'up' }] })).toEqual([]);
    expect(changed({ nics: [{ ...eth0, vlan: 20 }, { network: 'b' }] })).toEqual(['nics']);
    expect(changed({ nics: [{ network: 'a' }, { network: 'b' }] })).toEqual(['nics']);
    expect(changed({ nics: [eth0] })).toEqual(['networks']);
  });

  test('never touches power, restarts or NICs', () => {
    const vm = vmIn('running', { nics: [{ network: 'default', mac: '02:00:00:00:00:01' }] });
    expect(specAfter(vm, wanted(vm, { cpus: 2 }))).toEqual({ ...vm.spec, cpus: 2 });
  });
});

test('ephemeral and protected contradict each other', () => {
  expect(() => assertMeant({ ephemeral: true, protected: true })).toThrow(/can not be protected/);
  assertMeant({ ephemeral: true });
  assertMeant({ ephemeral: false, protected: true });
});

test('a machine keeps its shape until it boots again', () => {
  const start = { cpus: 1, memoryMib: 128 };
  const asked = { cpus: 2, memoryMib: 256 };
  expect(shapeOf(vmIn('running', asked, { start }))).toEqual(start);
  expect(shapeOf(vmIn('suspended', asked, { start, suspendedAt: 'then' }))).toEqual(start);
  expect(shapeOf(vmIn('starting', asked, { start, suspendedAt: 'then' }))).toEqual(start);
  expect(shapeOf(vmIn('stopped', asked, { start }))).toEqual(asked);
  expect(shapeOf(vmIn('running', asked))).toEqual(asked);
});

test('an ephemeral VM vanishes when it has run and ended, and not before', () => {
  const ended = { exit: { kind: 'stopped' } };
  const spec = { ephemeral: true, power: 'stopped' };
  expect(vanishes(vmIn('stopped', spec, ended))).toBe(true);
  expect(vanishes(vmIn('crashed', spec, ended))).toBe(true);
  const left = vmIn('stopped', spec, ended);
  expect(nextStep(left.spec, left.status), 'a daemon that died in between').toBe('delete');
  expect(vanishes(vmIn('stopped', spec))).toBe(false);
  expect(vanishes(vmIn('stopped', { ...spec, power: 'running' }, ended))).toBe(false);
  expect(vanishes(vmIn('stopped', { ...spec, ephemeral: false }, ended))).toBe(false);
});
