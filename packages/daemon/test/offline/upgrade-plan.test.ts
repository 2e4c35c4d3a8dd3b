import { describe, expect, test } from 'vitest';
import { planUpgrade, type UpgradeFacts } from '../../src/offline/upgrade-plan.ts';

const GOOD: UpgradeFacts = {
  store: { version: 1, known: 1 },
  resources: { total: 3, changed: [] },
  vms: [{ name: 'web', problem: undefined, protocol: 1 }],
  protocol: { oldest: 1, newest: 2 },
  qemuVersion: '8.2',
  templates: [{ id: 'a', state: 'ready', qemuVersion: '8.2' }],
};
const states = (facts: Partial<UpgradeFacts>) =>
  Object.fromEntries(planUpgrade({ ...GOOD, ...facts }).map(({ id, state }) => [id, state]));

test('where all fits nothing has to be done', () => {
  expect(new Set(Object.values(states({})))).toEqual(new Set(['ok']));
});

describe.each<[string, Partial<UpgradeFacts>, object]>([
  ['an older store is migrated', { store: { version: 1, known: 2 } }, { store: 'attention' }],
  ['a newer store blocks', { store: { version: 3, known: 2 } }, { store: 'blocked' }],
  ['resources get what was added', { resources: { total: 3, changed: ['vm web'] } }, { resources: 'attention' }],
  [
    'unreadable ones block',
    { resources: { code: 'unsupported', message: 'no', remedy: 'run the other' } },
    { resources: 'blocked' },
  ],
  [
    'a VM that is lost blocks',
    { vms: [{ name: 'web', problem: 'gone', protocol: 1 }] },
    { vms: 'blocked', agents: 'ok' },
  ],
  ['an agent too old blocks', { vms: [{ name: 'web', problem: undefined, protocol: 0 }] }, { agents: 'blocked' }],
  ['an agent too new blocks', { vms: [{ name: 'web', problem: undefined, protocol: 3 }] }, { agents: 'blocked' }],
  [
    'one that has said nothing is of the first',
    { vms: [{ name: 'web', problem: undefined, protocol: undefined }] },
    { agents: 'ok' },
  ],
  ['no QEMU is told', { qemuVersion: undefined }, { qemu: 'attention' }],
  ['another QEMU makes templates stale', { qemuVersion: '9.0' }, { templates: 'attention' }],
])('%s', (_, facts, expected) => {
  test('in its line, with a remedy', () => {
    expect(states(facts)).toMatchObject(expected);
    for (const { state, remedy } of planUpgrade({ ...GOOD, ...facts }))
      if (state !== 'ok') expect(remedy).toMatch(/\w/);
  });
});
