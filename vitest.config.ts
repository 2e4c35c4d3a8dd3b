import { defineConfig } from 'vitest/config';
import LongFirst from './scripts/sequencer.ts';

/**
 * Three projects: `unit` stays under 30 s; `process` are the packages' tests that start many processes or wait for
 * deadlines; `system` drives real QEMU.
 */
export default defineConfig({
  // Packages are run from their source, by Vite for what it loads and by Node for what is started by a test.
  resolve: { conditions: ['source'] },
  ssr: { resolve: { conditions: ['source'], externalConditions: ['source'] } },
  test: {
    reporters: ['default', './scripts/reporter.ts'],
    sequence: { sequencer: LongFirst },
    execArgv: ['--conditions=source', '--disable-warning=ExperimentalWarning'],
    projects: [
      {
        extends: true,
        test: {
          name: 'unit',
          include: ['packages/*/test/**/*.test.ts', 'scripts/test/**/*.test.ts'],
          exclude: ['**/*.process.test.ts'],
          testTimeout: 10_000,
          // Vitest leaves one core for itself, which on two cores would be half of the machine.
          maxWorkers: '100%',
        },
      },
      {
        extends: true,
        test: {
          name: 'process',
          include: ['packages/*/test/**/*.process.test.ts', 'scripts/test/**/*.process.test.ts'],
          testTimeout: 20_000,
          maxWorkers: 2,
          sequence: { groupOrder: 1 },
        },
      },
      {
        extends: true,
        test: {
          name: 'system',
          include: ['tests/**/*.test.ts'],
          testTimeout: 120_000,
          hookTimeout: 300_000,
          // Each drives VMs on emulated CPUs: more at a time than CI has cores makes their deadlines a lottery.
          maxWorkers: 2,
          sequence: { groupOrder: 2 },
        },
      },
    ],
  },
});
