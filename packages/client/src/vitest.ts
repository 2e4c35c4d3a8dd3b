/// <reference types="node" preserve="true" />
/// <reference lib="esnext.disposable" preserve="true" />
import { randomBytes } from 'node:crypto';
import { createVM, type CreateVMOptions, SkerryError, type VM } from '@skerry/sdk';
import { test, type TestAPI } from 'vitest';

/** A VM for each test of Vitest. They are clones of one template, so a fresh one costs a fraction of a second. */

/** As `createVM`. Names are made up: tests run beside each other. */
export type TestVMOptions = Omit<CreateVMOptions, 'name' | 'ephemeral'>;

export interface SkerryFixtures {
  /** A running VM of this test alone, deleted after it. */
  readonly vm: VM;
  /** More of them, with these options on top of the usual ones. Deleted after the test too. */
  readonly createVM: (options?: TestVMOptions & { readonly name?: string | undefined }) => Promise<VM>;
}

/**
 * Vitest's `test` with VMs. Only tests that name `vm` or `createVM` get any.
 *
 *     const test = skerryTest({ os: 'micro', memory: '128Mi' });
 *
 *     test('installs', async ({ vm, expect }) => {
 *       await vm.files.write('/root/install.sh', script);
 *       expect((await vm.exec('sh /root/install.sh')).exitCode).toBe(0);
 *     });
 *
 * The time that a VM takes to start is the test's. What a killed run has left carries the label `made-by=vitest`.
 */
export function skerryTest(defaults: TestVMOptions = {}): TestAPI<SkerryFixtures> {
  return test.extend<SkerryFixtures>({
    // oxlint-disable-next-line no-empty-pattern -- Vitest reads off the pattern which fixtures a fixture needs.
    createVM: async ({}, use) => {
      const made: Array<Promise<VM>> = [];
      try {
        await use((options = {}) => {
          const name = options.name ?? `test-${randomBytes(4).toString('hex')}`;
          const labels = { ...defaults.labels, ...options.labels, 'made-by': 'vitest' };
          const vm = createVM({ ...defaults, ...options, name, labels });
          made.push(vm);
          return vm;
        });
      } finally {
        await deleteAll(made);
      }
    },
    vm: async ({ createVM: createMore }, use) => {
      await use(await createMore());
    },
  });
}

/** Those too that were still being made when the test gave up. */
async function deleteAll(made: ReadonlyArray<Promise<VM>>): Promise<void> {
  const vms = (await Promise.allSettled(made)).flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []));
  const ends = await Promise.allSettled(vms.map((vm) => vm.delete({ force: true })));
  for (const end of ends) {
    // A test may have deleted it already.
    if (end.status === 'rejected' && SkerryError.from(end.reason).code !== 'not-found') throw end.reason;
  }
}
