import * as fc from 'fast-check';

/**
 * fast-check for all our tests: what CI tries is the same every time, so a change that breaks nothing is never red.
 * `SKERRY_SEED=N` tries other cases, `SKERRY_RUNS=N` N times as many of them (`npm run soak -- properties`).
 */

// oxlint-disable-next-line import/export -- `assert` is meant to be another one
export * from 'fast-check';

const RUNS = 100;
export const SEED = Number(process.env['SKERRY_SEED'] ?? 20_260);
/** How many times as many cases; a test with a time limit of its own needs it as many times, too. */
export const RUNS_FACTOR = Number(process.env['SKERRY_RUNS'] ?? 1);

fc.configureGlobal({ seed: SEED, numRuns: RUNS * RUNS_FACTOR });

/** As fast-check's own; a seed that a test says itself gives way to one that somebody asks for. */
export const assert = ((
  property: fc.IRawProperty<unknown>,
  { numRuns = RUNS, ...rest }: fc.Parameters<unknown> = {},
) => {
  const asked = process.env['SKERRY_SEED'] === undefined ? {} : { seed: SEED };
  return fc.assert(property, { ...rest, ...asked, numRuns: numRuns * RUNS_FACTOR });
}) as typeof fc.assert;
