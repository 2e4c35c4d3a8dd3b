import { expect, test } from 'vitest';
import { entrancesOf, inline } from '../package/inline-plan.ts';

const entrances = entrancesOf(
  new Map([
    [
      'api',
      {
        name: '@skerry/api',
        exports: { '.': { default: './dist/index.js' }, './base': { default: './dist/base.js' } },
      },
    ],
  ]),
);

test('imports of our packages become paths, those of others stay', () => {
  const text = [
    "import { a } from '@skerry/api';",
    'export type * from "@skerry/api/base";',
    "const b = await import('@skerry/api/base');",
    "import { z } from 'zod';",
    "import c from './c.ts';",
    "const text = 'from the @skerry/api';",
  ].join('\n');
  expect(inline('sdk/vms/x.d.ts', text, entrances).split('\n')).toEqual([
    "import { a } from '../../api/index.js';",
    'export type * from "../../api/base.js";',
    "const b = await import('../../api/base.js');",
    "import { z } from 'zod';",
    "import c from './c.js';",
    "const text = 'from the @skerry/api';",
  ]);
  expect(inline('api/x.js', "import '@skerry/api/base'", entrances)).toBe("import './base.js'");
});

test('an entrance that there is not is told at packing, not by who installs', () => {
  expect(() => inline('sdk/x.js', "from '@skerry/api/secret'", entrances)).toThrow('sdk/x.js: @skerry/api/secret');
});
