import { Power, VmSpec, VmState, type VmStatus } from '@skerry/api';
import * as fc from '@skerry/testkit/properties';
import { describe, expect, test } from 'vitest';
import type { MachineExit } from '../../src/hypervisors/index.ts';
import { exitOf } from '../../src/vms/exits.ts';
import {
  endedStatus,
  newVmStatus,
  nextStep,
  runningStatus,
  withHealth,
  withoutHealthPhase,
} from '../../src/vms/model.ts';

const spec = (change: Partial<VmSpec>): VmSpec => ({
  ...VmSpec.parse({ image: 'micro', cpus: 1, memoryMib: 128 }),
  ...change,
});
const status = (change: Partial<VmStatus>): VmStatus => ({ ...newVmStatus([], 'digest'), ...change });

describe('nextStep', () => {
  test.each([
    ['running', 'stopped', 'start'],
    ['running', 'crashed', 'start'],
    ['running', 'starting', 'start'],
    ['running', 'running', 'none'],
    ['running', 'paused', 'resume'],
    ['paused', 'running', 'pause'],
    ['paused', 'paused', 'none'],
    ['stopped', 'running', 'stop'],
    ['stopped', 'paused', 'stop'],
    ['stopped', 'stopping', 'stop'],
    ['stopped', 'stopped', 'none'],
    ['stopped', 'crashed', 'none'],
    ['running', 'deleting', 'delete'],
    ['suspended', 'running', 'suspend'],
    ['suspended', 'paused', 'suspend'],
    ['suspended', 'suspended', 'none'],
    ['running', 'suspended', 'start'],
    ['stopped', 'suspended', 'none'],
  ] as const)('wanted %s, is %s: %s', (power, state, step) => {
    expect(nextStep(spec({ power }), status({ state }))).toBe(step);
  });

  test('a restart stops what runs, and starts it once', () => {
    expect(nextStep(spec({ power: 'running', restarts: 1 }), status({ state: 'running', restarts: 0 }))).toBe('stop');
    expect(nextStep(spec({ power: 'running', restarts: 1 }), status({ state: 'stopped', restarts: 0 }))).toBe('start');
    expect(nextStep(spec({ power: 'running', restarts: 1 }), status({ state: 'running', restarts: 1 }))).toBe('none');
  });

  test('reaches what is wanted from any state within three steps', () => {
    const after = {
      start: 'running',
      stop: 'stopped',
      pause: 'paused',
      resume: 'running',
      suspend: 'suspended',
    } as const;
    fc.assert(
      fc.property(
        fc.constantFrom(...Power.options),
        fc.constantFrom(...VmState.options.filter((state) => state !== 'deleting')),
        fc.nat(2),
        (power, first, restarts) => {
          let now = status({ state: first });
          for (let steps = 0; steps <= 3; steps += 1) {
            const step = nextStep(spec({ power, restarts }), now);
            if (step === 'none') return true;
            if (step === 'delete') return false;
            now = { ...now, state: after[step], ...(step === 'start' ? { restarts } : {}) };
          }
          return false;
        },
      ),
    );
  });
});

describe('exitOf', () => {
  const exit = (change: Partial<MachineExit>): MachineExit => ({
    kind: 'reset',
    code: 0,
    signal: null,
    reason: 'the guest reset',
    atMs: 0,
    ...change,
  });

  test.each([
    ['a power-off that was asked for', exit({}), 'poweroff', 'stop', 'stopped'],
    ['a power-off by the guest', exit({}), 'poweroff', undefined, 'stopped'],
    ['a reboot by the guest', exit({}), 'reboot', undefined, 'stopped'],
    ['a reset without a word: a panic', exit({}), undefined, undefined, 'crashed'],
    ['a kill that was asked for', exit({ kind: 'killed', signal: 'SIGKILL' }), undefined, 'kill', 'stopped'],
    ['a kill by somebody else', exit({ kind: 'crashed', signal: 'SIGKILL' }), undefined, undefined, 'crashed'],
  ] as const)('%s', (_, machineExit, farewell, wanted, kind) => {
    expect(exitOf(machineExit, farewell, wanted).kind).toBe(kind);
  });
});

test('an adopted VM has no agent until it has answered this daemon', () => {
  const agent = { connected: true, version: '1', kernel: '6.12' };
  const process = { pid: 1, startTime: '2' };
  const before = status({ state: 'running', agent, process });
  const adopted = runningStatus(spec({}), before, { process, agent: undefined, warnings: [] }, 'running');
  expect(adopted.agent).toEqual({ ...agent, connected: false });
  expect(runningStatus(spec({}), adopted, { process, agent, warnings: [] }, 'running').agent).toEqual(agent);
});

test('why a VM is still starting is told, but not too late', () => {
  const starting = status({ state: 'running', health: 'starting' });
  const now = new Date();
  const told = withHealth(starting, 'starting', 'refused', now);
  expect(told).toMatchObject({ health: 'starting', healthMessage: 'refused' });
  const healthy = withHealth(told, 'healthy', undefined, now);
  expect(healthy).toEqual({ ...starting, health: 'healthy' });
  expect(withHealth(healthy, 'starting', 'refused', now)).toEqual(healthy);
  const stopped = status({ state: 'stopped' });
  expect(withHealth(stopped, 'unhealthy', 'refused', now)).toEqual(stopped);
});

test('that a VM is well for the first time is the last phase of its start', () => {
  const at = '2026-11-21T10:00:00.000Z';
  const start = {
    ...{ how: 'clone' as const, at, totalMs: 120.5, kernel: 'micro' as const, accelerator: 'tcg' as const },
    ...{ machine: 'microvm', phases: [{ name: 'spawn', ms: 120.5 }] },
  };
  const later = (ms: number): Date => new Date(Date.parse(at) + ms);
  const awaited = { ...start, awaitsHealth: true };
  const starting = status({ state: 'running', health: 'starting', start: awaited });
  const healthy = withHealth(starting, 'healthy', undefined, later(200));
  expect(healthy.start).toEqual({
    ...start,
    totalMs: 200,
    phases: [...start.phases, { name: 'health', ms: 79.5 }],
  });
  const again = withHealth(withHealth(healthy, 'unhealthy', 'refused', later(900)), 'healthy', undefined, later(1000));
  expect(again.start).toEqual(healthy.start);
  expect(withHealth(starting, 'unhealthy', 'refused', later(200)).start).toEqual(awaited);
  expect(withHealth(starting, 'healthy', undefined, later(3_600_000)).start).toEqual(start);
  // Its check was given later.
  const given = status({ state: 'running', health: 'starting', start: withoutHealthPhase(awaited) });
  expect(withHealth(given, 'healthy', undefined, later(200))).toEqual({ ...given, start, health: 'healthy' });
});

test('an ended VM has no process, agent or health left', () => {
  const running = status({ state: 'running', health: 'healthy', process: { pid: 1, startTime: '2' }, message: 'old' });
  const ended = endedStatus(running, {
    at: '2026-01-01T00:00:00.000Z',
    kind: 'crashed',
    reason: 'killed',
    exitCode: null,
    signal: 'SIGKILL',
  });
  expect(ended).toMatchObject({ state: 'crashed', health: 'none', message: 'killed' });
  expect(ended).not.toHaveProperty('process');
});
