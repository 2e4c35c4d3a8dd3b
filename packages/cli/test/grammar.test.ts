import { readdir, readFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { SkerryError } from '@skerry/api/base';
import { COMMANDS } from '../src/commands/index.ts';
import {
  asSkerry,
  findWaiting,
  FOREIGN_VERBS,
  GROUPS,
  nameOf,
  parse,
  WAITING,
  WAITING_OPTIONS,
} from '../src/grammar/index.ts';

/** Every command line that the requirements show: tests/grammar/*.txt. */

const DIRECTORY = new URL('../../../tests/grammar/', import.meta.url);

/** Singular nouns. */
const GRAMMAR_GROUPS =
  'vm node image template volume repo network link nic disk snapshot backup task event host daemon user project token audit remote scenario function'.split(
    ' ',
  );

/** As a shell takes it apart, as far as these lines need it. */
const wordsOf = (line: string): string[] => [...line.matchAll(/'([^']*)'|\S+/g)].map((match) => match[1] ?? match[0]);

/** `works NAME`, `waits`, or the error. */
function meaningOf(line: string): string {
  const [program, ...argv] = wordsOf(line);
  try {
    const parsed = parse(asSkerry(program, argv), COMMANDS);
    return parsed.kind === 'run' ? 'works' : 'is help';
  } catch (error) {
    if (!(error instanceof SkerryError)) throw error;
    return error.code === 'unsupported' ? 'waits' : `${error.message} (${error.remedy})`;
  }
}

const sources = (await readdir(DIRECTORY)).filter((name) => name.endsWith('.txt'));
const lines = (
  await Promise.all(
    sources.map(async (name) =>
      (await readFile(new URL(name, DIRECTORY), 'utf8'))
        .split('\n')
        .filter((line) => line !== '' && !line.startsWith('#'))
        .map((line) => [name, line] as const),
    ),
  )
).flat();

describe('command lines of the requirements', () => {
  test('are there', () => {
    expect(sources).toEqual(
      ['cli', 'daily-use', 'instant-start', 'main-job', 'networks', 'v2m', 'vmkit', 'wia-comp-007'].map(
        (name) => `${name}.txt`,
      ),
    );
    expect(lines.length).toBeGreaterThan(200);
  });

  test.each(lines)('%s: %s', (_, text) => {
    const [, state, line = ''] = /^(works|waits) (.*)$/.exec(text) ?? [];
    expect(meaningOf(line)).toBe(state);
  });
});

describe('what waits', () => {
  test.each(WAITING.map(({ words }) => words))('%s is no command yet', (words) => {
    const [group = '', verb] = words.split(' ');
    const there = COMMANDS.filter(
      (command) => nameOf(command) === words || (verb === undefined && command.group === group),
    );
    expect(there.map(nameOf)).toEqual([]);
    expect(meaningOf(`skerry ${words} something --option value`)).toBe('waits');
  });

  test.each(Object.entries(WAITING_OPTIONS))('%s has none of its later options yet', (name, later) => {
    const command = COMMANDS.find((each) => nameOf(each) === name);
    const names = (command?.options ?? []).map((option) => option.name);
    expect(names.filter((option) => later.some((waiting) => waiting.name === option))).toEqual([]);
  });

  test('every group of the grammar is a command, or waits', () => {
    const missing = GRAMMAR_GROUPS.filter(
      (group) => !Object.hasOwn(GROUPS, group) && findWaiting([group]) === undefined,
    );
    expect(missing).toEqual([]);
  });

  test('it says what for, and where to look', () => {
    try {
      parse(['snapshot', 'create', 'web'], COMMANDS);
    } catch (error) {
      expect(error).toMatchObject({ code: 'unsupported', exitCode: 5, details: { waitsFor: expect.any(String) } });
      expect((error as SkerryError).remedy).toContain('disks, volumes and snapshots');
    }
    expect.assertions(2);
  });

  test('docs/reference/waiting.md is that of the table', async () => {
    const { waitingPage } = await import('../../../scripts/reference/waiting.ts');
    const written = await readFile(new URL('../../../docs/reference/waiting.md', import.meta.url), 'utf8');
    expect(written, 'npm run reference writes it').toBe(waitingPage());
  });
});

describe('under other names', () => {
  test.each([
    ['wia-comp-007 create --name web --os micro', 'create --name web --os micro --start'],
    ['wia-comp-007 create --name web --no-start', 'create --name web'],
    ['wia-comp-007 list', 'list'],
    ['vmkit create web debian', 'create web debian'],
    ['vmkit destroy web --force', 'delete web --force'],
    ['vmkit snapshot web before --yes', 'snapshot create --vm web --name before --yes'],
    ['vmkit snapshots web', 'snapshot list --vm web'],
    ['vmkit', ''],
    ['skerry snapshot web before', 'snapshot web before'],
    ['another-name create web', 'create web'],
    ['constructor create web', 'create web'],
    ['vmkit toString', 'toString'],
  ])('%s -> %s', (line, ours) => {
    const [program, ...argv] = line.split(' ');
    expect(asSkerry(program, argv).join(' ')).toBe(ours);
  });

  test('a description of several words is one', () => {
    expect(asSkerry('vmkit', ['snapshot', 'web', 's', 'as it was'])).toEqual(
      ['snapshot', 'create', '--vm', 'web', '--name', 's', '--description', 'as it was'], // prettier-ignore
    );
  });
});

describe('verbs of other programs', () => {
  const remedyOf = (line: string): string | undefined => {
    try {
      parse(wordsOf(line).slice(1), COMMANDS);
    } catch (error) {
      expect(error).toMatchObject({ code: 'invalid', exitCode: 2 });
      return (error as SkerryError).remedy;
    }
    throw new Error(`no error: ${line}`);
  };

  test.each([
    ['skerry shutdown web', 'use: skerry stop web'],
    ['skerry shutdown web db', 'use: skerry stop web db'],
    ['skerry shutdown', 'use: skerry stop VM...'],
    ['skerry shutdown web --mode acpi', 'use: skerry stop VM...'],
    ['skerry vm shutdown web', 'use: skerry stop web'],
    ['skerry virsh shutdown web', 'use: skerry stop web'],
    ['skerry virsh start web', 'use: skerry start web'],
    ['skerry virsh nonsense', 'See `skerry help`.'],
    ['skerry dumpxml web', 'use: skerry info web -o yaml'],
    ['skerry undefine web', 'use: skerry delete web'],
    ['skerry qm terminal 100', 'use: skerry console 100'],
    ['skerry guest exec web ls /', 'use: skerry exec web ls /'],
    ['skerry launch debian', 'use: skerry create NAME debian --start'],
    ['skerry launch --name web 22.04', 'use: skerry create NAME IMAGE --start'],
    ['skerry clone web web-2', 'use: skerry fork web web-2'],
    ['skerry transfer a web:/b', 'use: skerry cp a web:/b'],
    ['skerry vm.power -on web db', 'use: skerry start web db'],
    ['skerry vm.power -off web', 'use: skerry kill web'],
    ['skerry vm.power -on=true web', 'use: skerry start, stop or kill'],
    ['skerry vm.info web', 'use: skerry info web'],
    ['skerry guest.run -vm web ls -l', 'use: skerry exec web -- ls -l'],
    ['skerry guest.upload -vm web ./a /b', 'use: skerry cp ./a web:/b'],
    ['skerry govc vm.ip web', 'use: skerry info web'],
    ['skerry docker compose up', 'use: skerry up FILE'],
    ['skerry rmi old', 'use: skerry image delete old'],
    ['skerry destroy web', 'power off: kill; remove: delete'],
    ['skerry virsh destroy web', 'power off: kill; remove: delete'],
  ])('%s: %s', (line, remedy) => expect(remedyOf(line)).toBe(remedy));

  test('none of them is a command of ours: it would never be said', () => {
    const ours = COMMANDS.flatMap(({ group, verb, top, aliases = [] }) =>
      group === '' || group === 'vm' ? [verb, ...aliases] : top === undefined ? [] : [top],
    );
    expect(ours.filter((verb) => FOREIGN_VERBS.has(verb))).toEqual([]);
  });
});
