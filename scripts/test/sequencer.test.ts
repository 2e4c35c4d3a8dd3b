import { existsSync } from 'node:fs';
import { BaseSequencer, type TestSpecification } from 'vitest/node';
import { afterEach, expect, test, vi } from 'vitest';
import LongFirst, { LONG } from '../sequencer.ts';

afterEach(() => vi.restoreAllMocks());

test('what takes long is there', () => {
  const there = (name: string): boolean => existsSync(new URL(`../../tests/${name}.test.ts`, import.meta.url));
  expect(LONG.filter((name) => !there(name))).toEqual([]);
});

test('what takes long begins first, within its project', async () => {
  const [unit, system] = [{}, {}];
  const file = (project: object, name: string) => ({ project, moduleId: `/x/${name}.test.ts` }) as TestSpecification;
  const last = LONG.at(-1) ?? '';
  const files = [
    file(unit, 'unit/a'),
    file(system, 'system/small'),
    file(system, last),
    file(system, 'system/tiny'),
    file(system, LONG[0] ?? ''),
  ];
  // Its own order is by what it knows of earlier runs, and by size.
  vi.spyOn(BaseSequencer.prototype, 'sort').mockImplementation((each) => Promise.resolve(each));
  const sorted = await new LongFirst({} as ConstructorParameters<typeof LongFirst>[0]).sort(files);
  const names = sorted.map(({ moduleId }) => moduleId.slice('/x/'.length, -'.test.ts'.length));
  expect(names).toEqual(['unit/a', LONG[0], last, 'system/small', 'system/tiny']);
});
