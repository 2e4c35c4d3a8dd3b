import type { PlanStep, Vm } from '@skerry/api';
import { expect, test } from 'vitest';
import { assertMayDelete, assertMayReplace } from '../../src/nodes/protection-plan.ts';

const vm = (name: string, isProtected?: boolean): Vm => ({ name, spec: { protected: isProtected } }) as unknown as Vm;
const members = new Map([
  ['web', vm('shop/web', true)],
  ['db', vm('shop/db')],
]);
const node = (isProtected?: boolean) => ({ name: 'shop', spec: { vms: {}, protected: isProtected } }) as never;
const steps = (action: PlanStep['action'], name: string): PlanStep[] => [{ action, kind: 'vm', name }];

test('a node is not deleted while it, or a VM of it, is protected', () => {
  expect(() => assertMayDelete(node(true), new Map())).toThrow(/The node shop is protected/);
  expect(() => assertMayDelete(node(), members)).toThrow(
    expect.objectContaining({ code: 'refused', remedy: expect.stringContaining('skerry set shop/web --no-protect') }),
  );
  assertMayDelete(node(), new Map([['db', vm('shop/db')]]));
});

test.each(['delete', 'replace'] as const)('an `up` does not %s a VM that is protected', (action) => {
  expect(() => assertMayReplace(steps(action, 'shop/web'), members)).toThrow(/would delete shop\/web/);
  assertMayReplace(steps(action, 'shop/db'), members);
  assertMayReplace(steps('restart', 'shop/web'), members);
});
