import { BaseSequencer, type TestSpecification } from 'vitest/node';

/**
 * Files of tests that take long, the longest first. Where there are no times of an earlier run, as in a fresh clone, Vitest
 * begins with the largest files; a small one that takes minutes would come last, with nothing left to run beside it.
 */
export const LONG = [
  'system/changes',
  'system/pages',
  'system/node-verbs',
  'system/deb',
  'system/restarts',
  'system/images',
  'system/restarts-random',
  'system/reboot',
  'system/secrets',
];

export default class LongFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    // Projects follow each other, and stay in their order.
    const byProject = Map.groupBy(await super.sort(files), ({ project }) => project);
    return [...byProject.values()].flatMap((each) => each.toSorted((a, b) => rankOf(a) - rankOf(b)));
  }
}

function rankOf({ moduleId }: TestSpecification): number {
  const rank = LONG.findIndex((name) => moduleId.endsWith(`/${name}.test.ts`));
  return rank === -1 ? LONG.length : rank;
}
