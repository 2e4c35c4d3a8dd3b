import { NodeSpec, type NodeSpecInput, type Vm } from '@skerry/api';
import * as fc from '@skerry/testkit/properties';
import { describe, expect, test } from 'vitest';
import { newVmStatus } from '../../src/vms/model.ts';
import {
  changedSpec,
  changeOf,
  dependentsOf,
  nodeState,
  planUp,
  startOrder,
  vmSpecOf,
  type NodeFacts,
} from '../../src/nodes/plan.ts';

const base = { image: 'micro', cpus: 1, memoryMib: 128 };

function spec(vms: NodeSpecInput['vms']): NodeSpec {
  return NodeSpec.parse({ vms, networks: { default: {} } });
}

function vmOf(node: string, name: string, declared: NodeSpec, state: Vm['status']['state'] = 'running'): Vm {
  const wanted = declared.vms[name];
  if (wanted === undefined) throw new Error(name);
  return {
    kind: 'vm',
    id: `id-${name}`,
    name: `${node}/${name}`,
    project: 'default',
    labels: {},
    createdAt: '2026-01-01T00:00:00.000Z',
    updatedAt: '2026-01-01T00:00:00.000Z',
    revision: 1,
    spec: { ...vmSpecOf(node, wanted), power: 'running' },
    status: { ...newVmStatus([], 'digest-1'), state },
  };
}

function facts(declared: NodeSpec, names: string[], state: Vm['status']['state'] = 'running'): NodeFacts {
  return {
    vms: new Map(names.map((name) => [name, vmOf('shop', name, declared, state)])),
    imageDigests: new Map([['micro', 'digest-1']]),
    networks: new Map([['default', []]]),
  };
}

const two = spec({ web: { ...base, dependsOn: [{ vm: 'db' }] }, db: base });

describe('planUp', () => {
  test('makes everything of a node that is not there, dependencies first', () => {
    const none: NodeFacts = { vms: new Map(), imageDigests: new Map(), networks: new Map() };
    expect(planUp('shop', two, none).map(({ action, name }) => `${action} ${name}`)).toEqual([
      'build micro',
      'create shop-default',
      'create shop/db',
      'start shop/db',
      'create shop/web',
      'start shop/web',
    ]);
  });

  test('keeps what is as declared', () => {
    expect(planUp('shop', two, facts(two, ['web', 'db'])).map((step) => step.action)).toEqual(['keep', 'keep']);
  });

  test('changes networks in place, and takes away those that are no longer declared', () => {
    const there = facts(two, ['web', 'db']);
    const networks = new Map([['default', ['acl', 'forwards']]]);
    expect(planUp('shop', two, { ...there, networks })[0]).toEqual({
      action: 'update',
      kind: 'network',
      name: 'shop-default',
      why: 'acl, forwards changed',
    });
    const before = NodeSpec.parse({ ...two, networks: { default: {}, old: {} } });
    expect(planUp('shop', two, { ...there, before }).filter(({ kind }) => kind === 'network')).toEqual([
      { action: 'delete', kind: 'network', name: 'shop-old', why: 'no longer declared' },
    ]);
  });

  test('a router, or a route, is what a VM starts anew for', () => {
    const routed = spec({ web: { ...base, role: 'router', routes: [{ to: '10.0.0.0/8', via: '10.213.0.9' }] } });
    const [step] = planUp('shop', routed, facts(spec({ web: base }), ['web']));
    expect(step).toMatchObject({ action: 'restart', name: 'shop/web', why: 'role, routes changed' });
  });

  test('starts what has stopped, and says so', () => {
    expect(planUp('shop', two, facts(two, ['web', 'db'], 'crashed'))).toContainEqual({
      action: 'start',
      kind: 'vm',
      name: 'shop/web',
      why: 'it is crashed',
    });
  });

  test('deletes what is no longer declared', () => {
    const one = spec({ db: base });
    expect(planUp('shop', one, facts(two, ['web', 'db']))[0]).toMatchObject({ action: 'delete', name: 'shop/web' });
  });
});

describe('changeOf', () => {
  const actual = vmOf('shop', 'db', two);
  const wanted = (change: object) => vmSpecOf('shop', { ...spec({ db: { ...base, ...change } }).vms['db']! });

  test.each([
    [{}, 'keep'],
    [{ memoryMib: 256 }, 'restart'],
    [{ env: { A: '1' } }, 'restart'],
    [{ command: ['sleep', '1'] }, 'restart'],
    [{ shares: [{ hostPath: '/src', guestPath: '/mnt/src' }] }, 'restart'],
    [{ health: { kind: 'tcp', port: 80 } }, 'update'],
    [{ forwards: [{ hostPort: 8080, guestPort: 80 }] }, 'update'],
    [{ diskMib: 1024 }, 'replace'],
    [{ nics: [{ network: 'other' }] }, 'replace'],
  ] as const)('%j: %s', (change, action) => {
    expect(changeOf(wanted(change), actual, 'digest-1').action).toBe(action);
  });

  test('an image that was built anew replaces the VM', () => {
    expect(changeOf(wanted({}), actual, 'digest-2')).toMatchObject({ action: 'replace' });
  });

  test('NICs that were added by hand are left alone, also when something else is changed', () => {
    const byHand = { network: 'lab', index: 1 };
    const before = { ...actual, spec: { ...actual.spec, nics: [...actual.spec.nics, byHand] } };
    expect(changeOf(wanted({}), before, 'digest-1')).toEqual({ action: 'keep' });
    expect(changeOf(wanted({ memoryMib: 256 }), before, 'digest-1').action).toBe('restart');
    expect(changedSpec(wanted({ memoryMib: 256 }), before.spec)).toMatchObject({
      memoryMib: 256,
      nics: [{ network: 'shop-default' }, byHand],
      power: 'running',
    });
    expect(changeOf(wanted({ nics: [{ network: 'other' }] }), before, 'digest-1').action).toBe('replace');
  });

  test('the order in which a file names things is no difference', () => {
    const before = { ...actual, spec: { ...actual.spec, env: { A: '1', B: '2' } } };
    expect(changeOf(wanted({ env: { B: '2', A: '1' } }), before, 'digest-1').action).toBe('keep');
  });
});

test('startOrder puts every dependency before what depends on it, for any acyclic node', () => {
  const acyclic = fc
    .integer({ min: 1, max: 8 })
    .chain((count) =>
      fc.tuple(
        ...Array.from({ length: count }, (_, index) =>
          fc.subarray(Array.from({ length: index }, (__, other) => `v${other}`)),
        ),
      ),
    );
  fc.assert(
    fc.property(acyclic, (dependencies) => {
      const entries = dependencies.map(
        (deps, index) => [`v${index}`, { ...base, dependsOn: deps.map((vm) => ({ vm })) }] as const,
      );
      const declared = spec(Object.fromEntries(entries.toReversed()));
      const order = startOrder(declared);
      expect(order.toSorted()).toEqual(Object.keys(declared.vms).toSorted());
      for (const [name, vm] of Object.entries(declared.vms)) {
        for (const dep of vm.dependsOn) {
          expect(order.indexOf(dep.vm)).toBeLessThan(order.indexOf(name));
          expect(dependentsOf(declared, dep.vm)).toContain(name);
        }
      }
    }),
  );
});

describe('nodeState', () => {
  const states = (state: Vm['status']['state'], health: Vm['status']['health'] = 'none') =>
    new Map([['db', { ...vmOf('shop', 'db', two, state), status: { ...newVmStatus([], 'd'), state, health } }]]);

  test.each([
    ['up', 'running', 'none', 'up'],
    ['up', 'running', 'starting', 'starting'],
    ['up', 'running', 'unhealthy', 'degraded'],
    ['up', 'crashed', 'none', 'degraded'],
    ['down', 'stopped', 'none', 'down'],
    ['down', 'suspended', 'none', 'down'],
    ['down', 'running', 'none', 'stopping'],
  ] as const)('wanted %s, VM %s and %s: %s', (power, state, health, expected) => {
    expect(nodeState(power, ['db'], states(state, health), false)).toBe(expected);
  });

  test('a VM that is missing degrades the node', () => {
    expect(nodeState('up', ['db', 'web'], states('running'), false)).toBe('degraded');
  });
});
