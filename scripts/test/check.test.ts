import { describe, expect, test } from 'vitest';
import type { Finding } from '../check/finding.ts';
import { checkLength, checkLinks, checkNames, checkTexts } from '../check/house.ts';
import { checkImports, importsOf } from '../check/imports.ts';

/** A violation of every rule is planted, and has to be seen. What looks like one and is none, has to pass. */

const manifest = (name: string, ...dependencies: string[]) => ({
  path: `packages/${name}/package.json`,
  text: JSON.stringify({ dependencies: Object.fromEntries(dependencies.map((dependency) => [dependency, '1'])) }),
});
const MANIFESTS = [
  manifest('api', 'zod'),
  manifest('cli', '@skerry/api', '@skerry/sdk', '@skerry/engine'),
  manifest('daemon', '@skerry/api', '@skerry/engine', '@skerry/sdk', 'fastify'),
  manifest('engine', '@skerry/api', '@skerry/daemon', '@skerry/testkit'),
  manifest('switch', '@skerry/api', '@skerry/engine'),
];

const inFile = (path: string, text: string, ...more: Array<{ path: string; text: string }>) =>
  checkImports([...MANIFESTS, ...more, { path, text }]).map(({ message }) => message);

describe('import rules', () => {
  test.each([
    ['packages/engine/src/index.ts', "import { x } from '@skerry/daemon';", 'engine may not import daemon'],
    ['packages/cli/src/main.ts', "import {\n  x,\n} from '@skerry/engine';", 'cli may not import engine'],
    ['packages/cli/src/main.ts', "const x = await import('@skerry/engine');", 'cli may not import engine'],
    ['packages/cli/src/main.ts', "export * from '@skerry/engine';", 'cli may not import engine'],
    ['packages/daemon/src/main.ts', "import type { X } from '@skerry/sdk';", 'daemon may not import sdk'],
    ['packages/switch/src/main.ts', "import '@skerry/engine';", 'switch may not import engine'],
    ['packages/engine/src/index.ts', "import { x } from '@skerry/testkit';", 'which only tests may'],
    ['packages/daemon/src/main.ts', "import { x } from '../../engine/src/index.ts';", 'by its path'],
    ['packages/engine/src/vms/service.ts', "import { x } from '../images/catalogue.ts';", 'reaches into images/'],
    ['packages/engine/src/vms/a/b.ts', "import { x } from '../../store/sqlite/index.ts';", 'reaches into store/'],
    ['packages/daemon/src/main.ts', "import { spawn } from 'node:child_process';", 'starts processes'],
    ['packages/engine/src/vms/x.ts', "const { spawn } = await import('child_process');", 'starts processes'],
    ['packages/daemon/src/main.ts', "import lodash from 'lodash/fp';", 'lodash is not a dependency'],
    ['packages/api/test/x.test.ts', "import fc from 'fast-check';", 'has cases of its own each time'],
    ['packages/api/src/vm.ts', "import { join } from 'node:path';", 'is pure, but imports node:path'],
    [
      'packages/engine/src/vms/plan.ts',
      "import { open } from 'node:fs/promises';",
      'is pure, but imports node:fs/promises',
    ],
    ['packages/engine/src/images/tree-plan.ts', "import fs from 'node:fs';", 'is pure, but imports node:fs'],
  ])('%s: %s', (path, text, message) => {
    expect(inFile(path, text)).toContainEqual(expect.stringContaining(message));
  });

  test('a pure file is followed through what it imports', () => {
    const impure = { path: 'packages/engine/src/vms/sizes.ts', text: "import { stat } from 'node:fs/promises';" };
    expect(inFile('packages/engine/src/vms/plan.ts', "import { size } from './sizes.ts';", impure)).toEqual([
      'is pure, but imports node:fs/promises by way of packages/engine/src/vms/sizes.ts',
    ]);
  });

  test.each([
    ['packages/engine/src/vms/service.ts', "import { x } from '../images/index.ts';"],
    ['packages/engine/src/vms/service.ts', "import { x } from './agent/frames.ts';"],
    ['packages/engine/src/hosts/run.ts', "import { spawn } from 'node:child_process';"],
    ['packages/engine/src/vms/x.ts', "import type { ChildProcess } from 'node:child_process';"],
    [
      'packages/engine/src/vms/plan.ts',
      "import type { Argv } from '../hosts/index.ts';\nimport { VmSpec } from '@skerry/api';",
    ],
    [
      'packages/engine/test/vms/x.test.ts',
      "import { x } from '@skerry/testkit';\nimport { spawn } from 'node:child_process';",
    ],
    [
      'packages/daemon/src/main.ts',
      "import fastify from 'fastify';\n// import x from 'lodash'\n/**\n * import x from 'lodash'\n */",
    ],
    ['tests/system/x.test.ts', "import { x } from '@skerry/engine';"],
    ['packages/testkit/src/properties.ts', "import * as fc from 'fast-check';"],
  ])('passes %s: %s', (path, text) => {
    expect(inFile(path, text)).toEqual([]);
  });

  test('an import is found on its line, in every spelling', () => {
    const text = [
      "import a, { b } from 'one';",
      "import type { c } from 'two';",
      "export { d } from 'three';",
      "import 'four';",
      "const e = import('five');",
      "import {\n  type f,\n  g,\n} from 'six';",
      "export const from = 'no';",
      "export function h() { return Array.from('no'); }",
    ].join('\n');
    expect(importsOf(text).map(({ specifier, typeOnly, line }) => [specifier, typeOnly, line])).toEqual([
      ['one', false, 1],
      ['two', true, 2],
      ['three', false, 3],
      ['six', false, 9],
      ['four', false, 4],
      ['five', false, 5],
    ]);
  });
});

describe('rules of the house', () => {
  const messages = (findings: readonly Finding[]) => findings.map(({ message }) => message);

  test('length: 401 lines are too many, unless generated', () => {
    const lines = (count: number) => 'x\n'.repeat(count);
    expect(checkLength([{ path: 'packages/api/src/a.ts', text: lines(401) }])).toHaveLength(1);
    expect(checkLength([{ path: 'native/agent/a.c', text: lines(401) }])).toHaveLength(1);
    expect(checkLength([{ path: 'packages/api/src/a.ts', text: lines(400) }])).toEqual([]);
    expect(checkLength([{ path: 'packages/api/src/a.ts', text: `// @generated by x\n${lines(401)}` }])).toEqual([]);
  });

  test.each([
    ['export enum Colour { Red }', 'an enum'],
    ['  const enum Colour { Red }', 'an enum'],
    ['export namespace a { }', 'a namespace'],
    ['@Injectable()\nclass A {}', 'a decorator'],
    ["const text = readFileSync('x');", 'blocks the event loop'],
    [`const NATIVE = new URL('../native', import.meta.url).${'pathname'};`, 'percent-encoded'],
    [`fetch('https://registry.${'npmjs'}.org/node')`, 'the host of a registry'],
    [`deb http://deb.${'debian'}.org/debian bookworm main`, 'the host of a registry'],
  ])('forbidden: %s', (text, message) => {
    expect(messages(checkTexts([{ path: 'packages/engine/src/x.ts', text }]))).toEqual([
      expect.stringContaining(message),
    ]);
  });

  test.each([
    ' * @param name a word',
    '// an enum of things',
    'const db = new DatabaseSync(path);',
    "const kind = 'enum';",
  ])('allowed: %s', (text) => {
    expect(checkTexts([{ path: 'packages/engine/src/x.ts', text }])).toEqual([]);
  });

  test('blocking calls are for what has no event loop to block', () => {
    expect(checkTexts([{ path: 'scripts/x.ts', text: "readFileSync('x')" }])).toEqual([]);
  });

  test.each(['packages/api/src/utils/a.ts', 'packages/cli/src/helpers.ts', 'native/util.c'])('name: %s', (path) => {
    expect(checkNames([{ path, text: '' }])).toHaveLength(1);
  });

  test('links', () => {
    const at = (text: string) => [
      { path: 'docs/a.md', text },
      { path: 'docs/b.md', text: '' },
      { path: 'README.md', text: '' },
    ];
    expect(checkLinks(at('[b](b.md#part) [r](../README.md) [d](../docs/) [w](https://x.test/y) [h](#here)'))).toEqual(
      [],
    );
    expect(messages(checkLinks(at('[c](c.md)')))).toEqual(['links to c.md, which is not there']);
  });
});
