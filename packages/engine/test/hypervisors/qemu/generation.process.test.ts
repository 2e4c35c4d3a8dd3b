import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Driver, Machine } from '../../../src/hypervisors/index.ts';
import { agentOf, guests, micro, type Guests } from './real-guest.ts';
import { qemuDriver } from './temporary-vm.ts';

const TIMEOUT_MS = 120_000;

let all: Guests;
let driver: Driver;

beforeAll(async () => {
  if (micro === undefined) return;
  all = await guests();
  driver = await qemuDriver();
}, TIMEOUT_MS);

afterAll(() => all?.[Symbol.asyncDispose]());

describe.runIf(micro !== undefined)('the generation of a machine with ACPI', { timeout: TIMEOUT_MS }, () => {
  const reseeds = (machine: Machine): number =>
    readFileSync(machine.files.console, 'utf8').split('reseeded due to virtual machine fork').length - 1;

  it('makes the kernel of a clone draw new random numbers, if it is another than its template’s', async () => {
    const kernel = { ...(await all.vm()).kernel, machine: 'q35' as const };
    const generation = '5b0d3c1e-7a52-4c3f-9f2b-0d2a7c1e9a01';
    const changes = { kernel, extraKernelArgs: ['loglevel=7'] };
    const launch = await all.template({ ...changes, generation });
    const template = await driver.start(launch);
    (await agentOf(template)).close();
    const { keeperPath } = launch.origin;
    await template.becomeTemplate(keeperPath);
    template.detach();
    const clone = async (own: string): Promise<Machine> =>
      driver.start(await all.vm({ ...changes, generation: own, origin: { kind: 'clone', keeperPath } }));
    const same = await clone(generation);
    const other = await clone('5b0d3c1e-7a52-4c3f-9f2b-0d2a7c1e9a02');
    await expect.poll(() => reseeds(other), { timeout: 20_000 }).toBe(1);
    (await agentOf(same)).close();
    expect(reseeds(same)).toBe(0);
    await Promise.all([same.kill(), other.kill()]);
  });
});
