import { Autostart, Power, VmSpec, VmState, type VmStatus } from '@skerry/api';
import * as fc from '@skerry/testkit/properties';
import { expect, test } from 'vitest';
import { afterBoot } from '../../src/vms/boot-plan.ts';
import { newVmStatus, nextStep } from '../../src/vms/model.ts';

const spec = (change: Partial<VmSpec>): VmSpec => ({
  ...VmSpec.parse({ image: 'micro', cpus: 1, memoryMib: 128 }),
  ...change,
});
const status = (change: Partial<VmStatus>): VmStatus => ({ ...newVmStatus([], 'digest'), ...change });

test.each([
  // power, state, autostart, what is done next
  ['running', 'running', undefined, 'start'],
  ['running', 'running', 'last', 'start'],
  ['running', 'running', 'on', 'start'],
  ['running', 'running', 'off', 'none'],
  ['running', 'starting', undefined, 'start'],
  ['paused', 'paused', undefined, 'start'],
  ['stopped', 'stopping', undefined, 'none'],
  ['stopped', 'running', undefined, 'none'],
  ['stopped', 'stopped', undefined, 'none'],
  ['stopped', 'stopped', 'on', 'start'],
  ['stopped', 'crashed', undefined, 'none'],
  ['suspended', 'suspended', 'on', 'none'],
  ['suspended', 'suspended', undefined, 'none'],
  ['running', 'deleting', 'on', 'delete'],
] as const)('wanted %s, was %s, autostart %s: %s', (power, state, autostart, step) => {
  const after = afterBoot(
    spec({ power, ...(autostart === undefined ? {} : { autostart }) }),
    status({ state }),
    false,
    0,
  );
  expect(nextStep(after.spec, after.status)).toBe(step);
});

test('a VM whose memory is on disk is suspended, whatever it was about to become', () => {
  const after = afterBoot(spec({ power: 'suspended' }), status({ state: 'running' }), true, 0);
  expect(after).toMatchObject({ spec: { power: 'suspended' }, status: { state: 'suspended' } });
});

test('an ephemeral VM that ran is deleted; one that was never started stays', () => {
  const gone = afterBoot(spec({ power: 'running', ephemeral: true }), status({ state: 'running' }), false, 0);
  expect(gone.status.state).toBe('deleting');
  expect(afterBoot(spec({ ephemeral: true }), status({}), false, 0).status.state).toBe('stopped');
});

test('one that waited for its restart policy starts at once, and fails by its policy', () => {
  const waiting = { phase: 'waiting' as const, tries: 3, failedAt: [], dueAt: '2030-01-01T00:00:00.000Z' };
  const restart = { policy: 'on-failure' as const, backoffMs: 1000 };
  const after = afterBoot(
    spec({ power: 'running', restart }),
    status({ state: 'crashed', recovery: waiting }),
    false,
    0,
  );
  expect(nextStep(after.spec, after.status)).toBe('start');
  expect(after.status.recovery).toEqual({ phase: 'starting', tries: 0, failedAt: [] });
});

test('done twice it is as done once: a daemon may die over it', () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...Power.options),
      fc.constantFrom(...VmState.options),
      fc.constantFrom(...Autostart.options),
      fc.boolean(),
      fc.boolean(),
      (power, state, autostart, ephemeral, hasMemory) => {
        const once = afterBoot(spec({ power, autostart, ephemeral }), status({ state }), hasMemory, 0);
        const twice = afterBoot(once.spec, once.status, hasMemory, 0);
        expect({ ...twice, ended: false }).toEqual({ ...once, ended: false });
        expect(twice.ended).toBe(false);
      },
    ),
  );
});
