import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { closure, controlFile, isNeeded, type LockPackages, packageGroups } from '../package/deb-plan.ts';
import { manPage } from '../package/man-plan.ts';
import { COMMANDS } from '../../packages/cli/src/commands/index.ts';

const ROOT = join(import.meta.dirname, '../..');

test('what a program needs is found as Node finds it: the nearest node_modules upwards', () => {
  const packages: LockPackages = {
    'packages/cli': { dependencies: { '@skerry/api': '1', a: '1' } },
    'packages/api': { dependencies: { b: '1' } },
    'node_modules/@skerry/api': { link: true, resolved: 'packages/api' },
    'node_modules/a': { dependencies: { b: '2' }, optionalDependencies: { 'not-for-this-platform': '1' } },
    'node_modules/a/node_modules/b': { dependencies: { c: '1' } },
    'node_modules/b': {},
    'node_modules/c': {},
    'node_modules/for-tests': {},
  };
  expect(closure(packages, ['packages/cli'])).toEqual([
    'node_modules/a',
    'node_modules/a/node_modules/b',
    'node_modules/b',
    'node_modules/c',
    'packages/api',
    'packages/cli',
  ]);
  expect(() => closure({ 'packages/cli': { dependencies: { gone: '1' } } }, ['packages/cli'])).toThrow('needs gone');
});

test('of the real lock file: no test tools, no types, no client', async () => {
  const { packages } = JSON.parse(await readFile(join(ROOT, 'package-lock.json'), 'utf8')) as {
    packages: LockPackages;
  };
  const paths = closure(packages, ['packages/cli', 'packages/daemon']);
  expect(paths).toContain('node_modules/fastify');
  expect(paths.filter((path) => path.startsWith('packages/')).map((path) => path.slice(9))).toEqual([
    'api',
    'cli',
    'daemon',
    'engine',
    'qmp',
    'sdk',
    'switch',
  ]);
  expect(paths.filter((path) => /vitest|typescript|oxlint|@types/.test(path))).toEqual([]);
});

test('of an npm package: what runs and its licence', () => {
  const kept = [
    'index.js',
    'lib/a.cjs',
    'package.json',
    'LICENSE',
    'licence.txt',
    'NOTICE',
    'lib/doc.js',
    'dist/doc/a.js',
  ];
  const left = [
    'index.d.ts',
    'a.js.map',
    'README.md',
    'test/a.js',
    '.github/x.json',
    'lib/a.test.js',
    'docs/a.js',
    'a.ts',
  ];
  expect([...kept, ...left].filter(isNeeded)).toEqual(kept);
});

test('the package depends on what VMs and images take, and recommends what builds the kernel', async () => {
  const packages = await readFile(join(ROOT, 'scripts/packages.txt'), 'utf8');
  const control = controlFile({ version: '1.2.3', architecture: 'amd64', installedKib: 5, packages });
  expect(control).toMatch(/^Depends: libc6 .*qemu-system-x86 \(>= 1:7\.2\), qemu-utils, e2fsprogs/m);
  expect(control).toMatch(/^Recommends: openssh-client, .*gcc, .*libelf-dev/m);
  expect(control).not.toMatch(/^Depends:.*gcc/m);
  expect(control).not.toContain('musl-tools');
  expect(control.endsWith('\n')).toBe(true);
  const more = `${packages}\n# flying to the moon\nrocket  rocket\n`;
  expect(() => controlFile({ version: '1', architecture: 'amd64', installedKib: 5, packages: more })).toThrow('moon');
  expect(packageGroups('# what\nab  b\n\n# Prose.\n# more\nc-d  e # f\n')).toEqual(
    new Map([
      ['what', ['ab']],
      ['more', ['c-d']],
    ]),
  );
});

test('the manual page names every command and is valid roff', () => {
  const page = manPage(COMMANDS, '1.2.3', '2026-01-01');
  for (const { verb } of COMMANDS) expect(page).toContain(verb.replaceAll('-', '\\-'));
  // A line that begins with a dot is a request; only those that we mean are.
  const requests = page.match(/^\.\w*/gm) ?? [];
  expect(new Set(requests)).toEqual(new Set(['.TH', '.SH', '.SS', '.B', '.I', '.TP', '.RS', '.RE']));
});
