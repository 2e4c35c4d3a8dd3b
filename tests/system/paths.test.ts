import { expect, test } from 'vitest';
import { arePossible } from '../attacks/surroundings.ts';
import { PathLab } from '../paths/lab.ts';

/** Who reaches whom between networks of all modes on both datapaths, the host and a world: what is declared, and nothing else. */

test.skipIf(!arePossible())(
  'each path is as declared',
  async () => {
    await using lab = await PathLab.make();
    const { walked, problems } = await lab.walk();
    expect(problems).toEqual([]);
    expect(walked).toBeGreaterThan(2000);
  },
  120_000,
);
