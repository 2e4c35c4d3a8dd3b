import { WAITING, WAITING_GLOBAL_OPTIONS, WAITING_OPTIONS } from '../../packages/cli/src/grammar/waiting.ts';

/** docs/reference/waiting.md: commands that the grammar has and this version does not. */
export function waitingPage(): string {
  const options = Object.entries({ ...WAITING_OPTIONS, '': WAITING_GLOBAL_OPTIONS }).flatMap(([command, later]) =>
    later.map(({ name, summary, waitsFor }) => ({ words: `${command} --${name}`.trim(), what: summary, waitsFor })),
  );
  const rows = [...WAITING, ...options].map(({ words, what, waitsFor }) => `| \`${words}\` | ${what} | ${waitsFor} |`);
  return [
    '# Commands that wait',
    '',
    'They are in the grammar, and refused as `unsupported` (exit code 5) until they are there.',
    '',
    '| command | what it does | comes with |',
    '|---|---|---|',
    ...rows,
    '',
  ].join('\n');
}
