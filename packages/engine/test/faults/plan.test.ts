import * as fc from '@skerry/testkit/properties';
import { describe, expect, test } from 'vitest';
import type { Fault, FaultSpec, Vm } from '@skerry/api';
import { parseNic, planNicFault, portImpairment, saysSwitch } from '../../src/faults/nic-plan.ts';
import { networksBetween, partitionGroups } from '../../src/faults/partition-plan.ts';
import {
  assertAlone,
  describeStart,
  endedFault,
  endsAtMs,
  faultsOf,
  forgotten,
  newFaultStatus,
  planVmFault,
} from '../../src/faults/plan.ts';

const code = (value: string) => expect.objectContaining({ code: value, remedy: expect.any(String) });
const vmOf = (state: Vm['status']['state'], cpus = 2): Vm =>
  ({ id: 'vm-1', name: 'web', spec: { cpus }, status: { state, nics: [] } }) as unknown as Vm;
const faultOf = (spec: FaultSpec, state: Fault['status']['state'] = 'active', name = 'f', vms = ['vm-1']): Fault =>
  ({ id: `id-${name}`, name, spec, status: { state, startedAt: '2026-01-01T00:00:00.000Z', vms } }) as unknown as Fault;
const freeze: FaultSpec = { kind: 'freeze', vm: 'web' };

describe('a fault', () => {
  test('has an end, unless it is said that it has none, or it is over at once', () => {
    expect(endsAtMs({ spec: freeze, forMs: 500 }, 1000)).toBe(1500);
    expect(endsAtMs({ spec: freeze, forMs: 'forever' }, 1000)).toBeUndefined();
    expect(endsAtMs({ spec: { kind: 'crash', vm: 'web' } }, 1000)).toBeUndefined();
    expect(() => endsAtMs({ spec: freeze }, 1000)).toThrow(code('invalid'));
  });

  test('has a seed where chance has a part in it, the given one or a drawn one', () => {
    const error: FaultSpec = { kind: 'disk-error', vm: 'web' };
    expect(newFaultStatus({ spec: error, forMs: 500 }, error, 0, 7).seed).toBe(7);
    expect(newFaultStatus({ spec: error, forMs: 500 }, { ...error, seed: 3 }, 0, 7).seed).toBe(3);
    expect(newFaultStatus({ spec: freeze, forMs: 500 }, freeze, 0, 7)).toEqual({
      state: 'active',
      startedAt: '1970-01-01T00:00:00.000Z',
      endsAt: '1970-01-01T00:00:00.500Z',
    });
  });

  test('of a VM needs one that runs, and gets the amount that is meant', () => {
    expect(planVmFault({ kind: 'cpu', vm: 'web' }, vmOf('running'))).toEqual({ kind: 'cpu', vm: 'web', amount: 2 });
    expect(planVmFault({ kind: 'memory', vm: 'x' }, vmOf('running')).amount).toBe(0.8);
    expect(() => planVmFault({ kind: 'memory', vm: 'x', amount: 1.2 }, vmOf('running'))).toThrow(code('invalid'));
    expect(() => planVmFault({ kind: 'freeze', vm: 'x', amount: 1 }, vmOf('running'))).toThrow(code('invalid'));
    expect(() => planVmFault({ kind: 'clock', vm: 'x', amount: 0 }, vmOf('running'))).toThrow(code('invalid'));
    for (const state of ['stopped', 'paused', 'crashed', 'suspended'] as const) {
      expect(() => planVmFault({ kind: 'freeze', vm: 'web' }, vmOf(state))).toThrow(code('wrong-state'));
    }
  });

  test('is the only one of what it changes', () => {
    const slow: FaultSpec = { kind: 'disk-latency', vm: 'web' };
    expect(() => assertAlone({ kind: 'disk-error', vm: 'web' }, 'vm-1', [faultOf(slow)])).toThrow(code('in-use'));
    expect(() => assertAlone({ kind: 'disk-error', vm: 'web' }, 'vm-2', [faultOf(slow)])).not.toThrow();
    expect(() => assertAlone({ kind: 'freeze', vm: 'web' }, 'vm-1', [faultOf(slow)])).not.toThrow();
  });

  test('is found by its name, its id, its VM', () => {
    const all = [faultOf(freeze, 'active', 'a'), faultOf(freeze, 'active', 'b', ['vm-2'])];
    const names = (of: string | undefined, vms: string[] = []) => faultsOf(all, of, vms).map(({ name }) => name);
    expect([names(undefined), names('a'), names('id-b'), names('web', ['vm-2']), names('zip')]).toEqual([
      ['a', 'b'],
      ['a'],
      ['b'],
      ['b'],
      [],
    ]);
  });

  test('that has ended is remembered for a while', () => {
    const ended = Array.from({ length: 203 }, (_, index) => faultOf(freeze, 'ended', `e${index}`));
    expect(forgotten([faultOf(freeze), ...ended]).map(({ name }) => name)).toEqual(['e0', 'e1', 'e2']);
    const { status } = faultOf(freeze);
    expect(endedFault(status, 0)).toMatchObject({ state: 'ended', endedAt: '1970-01-01T00:00:00.000Z' });
    expect(endedFault(status, 0, 'why')).toMatchObject({ state: 'failed', message: 'why' });
    expect(describeStart(freeze, { ...status, endsAt: '2026-01-01T00:00:10.000Z' })).toBe('freeze of web for 10.0s');
  });
});

describe('a fault of a NIC', () => {
  const impair = { kind: 'impair', nic: 'web:eth1', dir: 'both', impairment: { delayMs: 20 } } as const;

  test('names a NIC that is there', () => {
    expect(parseNic('shop/web:eth1')).toEqual({ vm: 'shop/web', index: 1 });
    for (const text of ['web', 'web:1', 'web:eth', ':eth0', 'web:eth0:eth1', 'web:eth10']) {
      expect(() => parseNic(text), text).toThrow(code('invalid'));
    }
    expect(planNicFault(impair, vmOf('running'), [0, 1])).toEqual(impair);
    expect(() => planNicFault(impair, vmOf('running'), [0])).toThrow(code('not-found'));
    expect(() => planNicFault(impair, vmOf('stopped'), [0, 1])).toThrow(code('wrong-state'));
    const nothing = { ...impair, impairment: { jitterMs: 2, loss: 0 } };
    expect(() => planNicFault(nothing, vmOf('running'), [1])).toThrow(code('invalid'));
  });

  test('at a link whose other end does not run waits for it', () => {
    const lossy = { out: { loss: 1 }, seed: 7, untilMs: 9 };
    expect(saysSwitch([{ id: 'vm-1/0', impairments: [{ ...lossy }] }], 'vm-1/0', lossy)).toBe('on');
    expect(saysSwitch([{ id: 'vm-1/0' }], 'vm-1/0', lossy)).toBe('off');
    expect(saysSwitch([{ id: 'vm-2/0' }], 'vm-1/0', lossy)).toBe('no wire');
    expect(saysSwitch(undefined, 'vm-1/0', lossy)).toBe('off');
  });

  test('is said to the switch in its directions: a2b is what the NIC sends', () => {
    const is = { delayMs: 20 };
    expect(portImpairment(impair, 7, 9)).toEqual({ out: is, in: is, seed: 7, untilMs: 9 });
    expect(portImpairment({ ...impair, dir: 'a2b' }, 7, undefined)).toEqual({ out: is, seed: 7 });
    expect(portImpairment({ ...impair, dir: 'b2a' }, 7, undefined)).toEqual({ in: is, seed: 7 });
    expect(portImpairment({ kind: 'link-down', nic: 'web:eth0' }, 0, 9)).toEqual({ down: true, seed: 0, untilMs: 9 });
  });
});

describe('a partition', () => {
  const members = new Map([
    ['web', '1'],
    ['web-2', '2'],
    ['cache', '3'],
    ['logger', '4'],
    ['web-shop', '5'],
  ]);
  const groups = (...given: string[][]) => partitionGroups({ kind: 'partition', node: 'shop', groups: given }, members);

  test('has the groups that are named, replicas with them, and those that are left', () => {
    expect(groups(['web', 'cache'], ['logger'])).toEqual([['1', '2', '3'], ['4'], ['5']]);
    expect(groups(['web-2'])).toEqual([['2'], ['1', '3', '4', '5']]);
  });

  test('names VMs of the node, each once, and keeps somebody from somebody', () => {
    expect(() => groups(['db'])).toThrow(code('not-found'));
    expect(() => groups(['web'], ['web'])).toThrow(code('invalid'));
    expect(() => groups(['web', 'cache', 'logger', 'web-shop'])).toThrow(code('invalid'));
  });

  test('is between VMs that run, on networks that more than one group is on', () => {
    const on = (id: string, state: Vm['status']['state'], ...networks: string[]) =>
      ({ id, status: { state, nics: networks.map((network) => ({ network })) } }) as unknown as Vm;
    const vms = [on('1', 'running', 'a', 'b', 'd'), on('2', 'paused', 'b', 'c'), on('3', 'stopped', 'd')];
    expect(networksBetween([['1'], ['2', '3']], vms)).toEqual(['b']);
    expect(networksBetween([['1', '2'], ['3']], vms)).toEqual([]);
  });

  test('every VM is in just one group', () => {
    const names = [...members.keys()].filter((name) => name !== 'web-2');
    fc.assert(
      fc.property(fc.shuffledSubarray(names, { minLength: 1 }), fc.nat(), (chosen, cut) => {
        const at = 1 + (cut % chosen.length);
        const given = [chosen.slice(0, at), chosen.slice(at)].filter((group) => group.length > 0);
        fc.pre(given.length > 1 || chosen.length < names.length);
        expect(
          groups(...given)
            .flat()
            .toSorted(),
        ).toEqual(['1', '2', '3', '4', '5']);
      }),
    );
  });
});
