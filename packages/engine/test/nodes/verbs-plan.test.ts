import { checkNodeSpec, expandReplicas, NodeSpec, withReplicasOf, type NodeSpecInput, type Vm } from '@skerry/api';
import * as fc from '@skerry/testkit/properties';
import { describe, expect, test } from 'vitest';
import { vmSpecOf, type NodeFacts } from '../../src/nodes/plan.ts';
import {
  chunks,
  nameMatcher,
  planScale,
  planUpdate,
  scaledSpec,
  selectVms,
  surplusOf,
  updateBatches,
} from '../../src/nodes/verbs-plan.ts';
import { newVmStatus } from '../../src/vms/model.ts';

const base = { image: 'v1', cpus: 1, memoryMib: 64 };
const declared = (replicas: number): NodeSpecInput => ({
  vms: {
    web: { ...base, replicas, dependsOn: [{ vm: 'db' }], forwards: [{ hostPort: 8080, guestPort: 80 }] },
    db: { ...base, replicas: 2 },
    front: { ...base, dependsOn: [{ vm: 'web', condition: 'healthy' }] },
  },
  networks: { default: {} },
});
const spec = (replicas: number): NodeSpec => NodeSpec.parse(declared(replicas));
const node = (replicas: number) => ({ name: 'shop', spec: spec(replicas) });

function facts(present: NodeSpec, digests: Record<string, string> = { v1: 'd1', v2: 'd2' }): NodeFacts {
  const vms = Object.entries(expandReplicas(present).vms).map(([name, vm]): [string, Vm] => [
    name,
    {
      kind: 'vm',
      id: `id-${name}`,
      name: `shop/${name}`,
      project: 'default',
      labels: {},
      createdAt: '2026-01-01T00:00:00.000Z',
      updatedAt: '2026-01-01T00:00:00.000Z',
      revision: 1,
      spec: { ...vmSpecOf('shop', vm), power: 'running' },
      status: { ...newVmStatus([], vm.image === 'v1' ? 'd1' : 'd2'), state: 'running' },
    },
  ]);
  return { vms: new Map(vms), imageDigests: new Map(Object.entries(digests)), networks: new Map([['default', []]]) };
}
const shown = (steps: ReturnType<typeof planScale>): string[] => steps.map(({ action, name }) => `${action} ${name}`);

describe('replicas', () => {
  test('are VMs of their own; dependencies are on all, host ports lead to the first', () => {
    const { vms } = expandReplicas(spec(3));
    expect(Object.keys(vms)).toEqual(['web', 'web-2', 'web-3', 'db', 'db-2', 'front']);
    expect(vms['web-3']?.dependsOn.map(({ vm }) => vm)).toEqual(['db', 'db-2']);
    expect(vms['front']?.dependsOn).toEqual(['web', 'web-2', 'web-3'].map((vm) => ({ vm, condition: 'healthy' })));
    expect(Object.values(vms).map(({ forwards }) => forwards.length)).toEqual([1, 0, 0, 0, 0, 0]);
    expect(Object.values(vms).every(({ replicas }) => replicas === undefined)).toBe(true);
  });

  test('of none nobody depends on it', () => {
    expect(expandReplicas(spec(0)).vms['front']?.dependsOn).toEqual([]);
  });

  test('their number stays where a declaration does not say it', () => {
    const { replicas: _, ...web } = declared(1).vms['web']!;
    const silent = NodeSpec.parse({ vms: { web, db: base }, networks: { default: {} } });
    expect(withReplicasOf(silent, spec(3)).vms['web']?.replicas).toBe(3);
    expect(withReplicasOf(spec(1), spec(3)).vms['web']?.replicas).toBe(1);
    expect(withReplicasOf(silent, undefined).vms['web']?.replicas).toBeUndefined();
  });

  test.each([
    [{ web: { ...base, replicas: 2 }, 'web-2': base }, /'web-2', which is another VM/],
    [{ web: { ...base, replicas: 2, nics: [{ network: 'default', address: '10.0.0.9' }] } }, /address that is fixed/],
    [{ ['w'.repeat(62)]: { ...base, replicas: 2 } }, /too long a name/],
  ] as const)('that can not be are problems: %#', (vms, message) => {
    const problems = checkNodeSpec(NodeSpec.parse({ vms, networks: { default: {} } }));
    expect(problems.map((problem) => problem.message).join('\n')).toMatch(message);
  });
});

describe('planScale', () => {
  test('makes what is too few, dependencies untouched', () => {
    expect(shown(planScale('shop', spec(3), ['web'], facts(spec(1))))).toEqual([
      'keep shop/web',
      'create shop/web-2',
      'start shop/web-2',
      'create shop/web-3',
      'start shop/web-3',
    ]);
  });

  test('deletes what is too many, the last one first', () => {
    expect(shown(planScale('shop', spec(0), ['web'], facts(spec(3))))).toEqual([
      'delete shop/web-3',
      'delete shop/web-2',
      'delete shop/web',
    ]);
  });

  test('of a node that is down makes nothing run', () => {
    const down = { ...spec(2), power: 'down' as const };
    expect(shown(planScale('shop', down, ['web'], facts(spec(1))))).toEqual(['keep shop/web', 'create shop/web-2']);
  });

  test('a VM that is not declared is refused', () => {
    expect(() => scaledSpec(node(1), { replicas: { wbe: 2 } })).toThrow(/no VM 'wbe'/);
    expect(() => scaledSpec(node(1), { replicas: { constructor: 2 } })).toThrow(/no VM 'constructor'/);
  });

  test('from any number to any other there are so many afterwards, and no other VM is touched', () => {
    const counts = fc.integer({ min: 0, max: 12 });
    fc.assert(
      fc.property(counts, counts, (from, to) => {
        const steps = planScale('shop', spec(to), ['web'], facts(spec(from)));
        const created = steps.filter(({ action }) => action === 'create').length;
        const deleted = steps.filter(({ action }) => action === 'delete').length;
        expect(from + created - deleted).toBe(to);
        expect(Math.min(created, deleted)).toBe(0);
        expect(steps.every(({ name }) => name.startsWith('shop/web'))).toBe(true);
      }),
    );
  });

  test('what only looks like a replica is none', () => {
    expect(surplusOf(spec(1), ['web'], ['web-0', 'web-01', 'web-1', 'web-x', 'webs-2', 'web-2'])).toEqual(['web-2']);
  });
});

describe('planUpdate', () => {
  test('in batches of replicas, dependencies first', () => {
    const wanted = { images: { web: 'v2', db: 'v2' }, batch: 2 };
    expect(updateBatches(node(3), wanted, facts(spec(3)))).toEqual([['db', 'db-2'], ['web', 'web-2'], ['web-3']]);
    expect(planUpdate(node(3), wanted, facts(spec(3)))).toMatchObject([
      { action: 'replace', name: 'shop/db', why: 'batch 1 of 3: image v1 -> v2, with a new disk' },
      { action: 'replace', name: 'shop/db-2' },
      { action: 'replace', name: 'shop/web', why: 'batch 2 of 3: image v1 -> v2, with a new disk' },
      { action: 'replace', name: 'shop/web-2' },
      { action: 'replace', name: 'shop/web-3', why: 'batch 3 of 3: image v1 -> v2, with a new disk' },
    ]);
  });

  test('an image of the same name that was built anew counts; what has it stays', () => {
    const wanted = { images: { web: 'v1' }, batch: 1 };
    expect(shown(planUpdate(node(1), wanted, facts(spec(1))))).toEqual(['keep shop/web']);
    expect(planUpdate(node(1), wanted, facts(spec(1), { v1: 'd9' }))).toMatchObject([
      { action: 'replace', why: 'batch 1 of 1: the image v1 was built anew, with a new disk' },
    ]);
  });

  test('each VM is in one batch, none is larger than asked', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 1, max: 25 }), (replicas, batch) => {
        const batches = updateBatches(node(replicas), { images: { web: 'v2' }, batch }, facts(spec(replicas)));
        expect(batches.flat().toSorted()).toEqual(selectVms(node(replicas), ['web']).toSorted());
        expect(batches.every((names) => names.length > 0 && names.length <= batch)).toBe(true);
      }),
    );
  });
});

test('VMs are named as declared, or as one replica; in the order in which they start', () => {
  expect(selectVms(node(2), [])).toEqual(['db', 'db-2', 'web', 'web-2', 'front']);
  expect(selectVms(node(2), ['front', 'web-2'])).toEqual(['web-2', 'front']);
  expect(selectVms(node(2), ['db'])).toEqual(['db', 'db-2']);
  expect(() => selectVms(node(2), ['web-3'])).toThrow(/no VM 'web-3'/);
  const matches = nameMatcher(node(2), ['web']);
  expect(['web', 'web-2', 'web-9', 'db', 'web-x'].filter(matches)).toEqual(['web', 'web-2', 'web-9']);
});

test('chunks', () => {
  expect(chunks([1, 2, 3], 2)).toEqual([[1, 2], [3]]);
  expect(chunks([], 2)).toEqual([]);
});
