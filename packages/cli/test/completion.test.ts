import { expect, test } from 'vitest';
import { COMMANDS } from '../src/commands/index.ts';
import { planCompletion } from '../src/completion/candidates.ts';

/** What is offered for a line; `|` ends the word that is typed. */
const offered = (line: string) => {
  const { candidates, names, prefix, typed } = planCompletion(line.split(' '), COMMANDS);
  return { words: candidates.map(({ word }) => word), names, prefix, typed };
};

test.each([
  ['sta', ['start']],
  ['no', ['node']],
  ['node re', ['restart', 'restore']],
  ['help node re', ['restart', 'restore']],
  ['vm sta', ['start']],
  ['-o js', ['json']],
  ['-o json lis', ['list']],
  ['list -o ', ['table', 'wide', 'json', 'yaml']],
  ['list --output=j', ['json']],
  ['wait web ', ['agent', 'healthy', 'stopped']],
  ['wait web agent --tim', ['--timeout']],
  ['create a --mem', ['--memory']],
  ['create a --start --star', []],
  ['create a --env A=1 --en', ['--env']],
  ['completion ', ['bash', 'zsh', 'fish']],
  ['image build micro --kernel d', ['distro']],
  ['exec web -- ls --', []],
  ['nonsense ', []],
  ['constructor ', []],
  ['create a --memory ', []],
])('skerry %s', (line, words) => expect(offered(line).words).toEqual(words));

test.each([
  ['start ', 'vm', '', ''],
  ['start web db w', 'vm', '', 'w'],
  ['exec --vm sh', 'vm', '', 'sh'],
  ['exec --vm=sh', 'vm', '--vm=', 'sh'],
  ['create web mi', 'image', '', 'mi'],
  ['create web --os mi', 'image', '', 'mi'],
  ['create web --network ', 'network', '', ''],
  ['create web --secret ', 'secret', '', ''],
  ['node down sh', 'node', '', 'sh'],
  ['secret show ', 'secret', '', ''],
  ['task cancel ', 'task', '', ''],
  ['cp a web:/', 'place', '', 'web:/'],
  ['image build ./r', 'file', '', './r'],
  ['up ', 'file', '', ''],
  ['create ', undefined, '', ''],
  ['wait web agent more', undefined, '', 'more'],
])('skerry %s: names', (line, names, prefix, typed) => expect(offered(line)).toMatchObject({ names, prefix, typed }));

test('every verb and group is offered, with what it does', () => {
  const { candidates } = planCompletion([''], COMMANDS);
  expect(candidates.every(({ summary }) => summary !== undefined && summary !== '')).toBe(true);
  expect(candidates.map(({ word }) => word)).toEqual(
    expect.arrayContaining(['create', 'up', 'node', 'secret', 'help']),
  );
});
