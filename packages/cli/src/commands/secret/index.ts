import { type Secret, SkerryError } from '@skerry/api/base';
import type { Command, Positional } from '../../grammar/index.ts';
import type { Column } from '../../tables/index.ts';
import { forEach } from '../do-task.ts';
import { readValue } from './value.ts';

const SECRET: Positional = { name: 'secret', aliases: ['name'], value: 'SECRET', summary: 'its name' };

const COLUMNS: ReadonlyArray<Column<Secret>> = [
  { title: 'NAME', of: ({ name }) => name },
  { title: 'VERSION', of: ({ version }) => version },
  { title: 'SET', of: ({ updatedAt }) => updatedAt },
  { title: 'USED-BY', of: ({ usedBy }) => usedBy.join(', ') },
];

const setCommand: Command = {
  group: 'secret',
  verb: 'set',
  aliases: ['create'],
  positionals: [
    SECRET,
    { name: 'value', value: 'VALUE', many: true, optional: true, summary: 'refused: the value comes from elsewhere' },
  ],
  options: [{ name: 'from-file', value: 'FILE', summary: 'the value is what is in FILE, byte by byte' }],
  summary: 'Make a secret, or give it another value',
  description:
    'The value is read from standard input (without its last newline), asked for without showing it, or taken from a ' +
    'file: never from the command line, which other users can see. VMs have it from their next start on.',
  examples: [
    'skerry secret set db-password',
    'printf %s "$PASSWORD" | skerry secret set db-password',
    'skerry secret set tls-key --from-file ./server.key',
  ],
  async run(context, args) {
    const name = args.required('secret');
    if (args.texts('value').length > 0) {
      throw new SkerryError('invalid', 'A secret does not go on the command line: other users and the history see it', {
        remedy: `Type \`skerry secret set ${name}\` and give the value when asked, on standard input or with --from-file FILE. What was typed here is known now: choose another.`,
      });
    }
    const value = await readValue(context, name, args.text('from-file'));
    const client = await context.client();
    const secret = await client.call('secret.set', {
      params: { secret: name },
      body: { valueBase64: value.toString('base64') },
    });
    await context.out.result(secret, () => [
      `${name}: ${secret.version === 1 ? 'set' : `set, version ${secret.version}`}`,
    ]);
    if (context.out.isForPeople && secret.usedBy.length > 0) {
      context.out.note(`note: ${secret.usedBy.join(', ')} will have it from the next start on`);
    }
  },
};

export const secretCommands: readonly Command[] = [
  setCommand,
  {
    group: 'secret',
    verb: 'list',
    aliases: ['ls'],
    summary: 'All secrets, and who uses them; never their values',
    examples: ['skerry secret list'],
    async run(context) {
      const client = await context.client();
      await context.out.rows(await client.call('secret.list'), COLUMNS);
    },
  },
  {
    group: 'secret',
    verb: 'show',
    aliases: ['info'],
    positionals: [SECRET],
    summary: 'One secret: its version and who uses it; never its value',
    examples: ['skerry secret show db-password'],
    async run(context, args) {
      const client = await context.client();
      const secret = await client.call('secret.get', { params: { secret: args.required('secret') } });
      await context.out.result(secret, () => [
        `name:     ${secret.name}`,
        `version:  ${secret.version}`,
        `created:  ${secret.createdAt}`,
        `set:      ${secret.updatedAt}`,
        `used by:  ${secret.usedBy.length === 0 ? 'nothing' : secret.usedBy.join(', ')}`,
        'value:    not shown to anybody; a VM that uses it has it in /run/secrets',
      ]);
    },
  },
  {
    group: 'secret',
    verb: 'delete',
    positionals: [{ ...SECRET, many: true }],
    summary: 'Delete secrets that nothing uses',
    examples: ['skerry secret delete db-password'],
    async run(context, args) {
      const { results, exitCode } = await forEach(context, args.texts('secret'), async (name) => {
        const client = await context.client();
        await client.call('secret.delete', { params: { secret: name } });
        return name;
      });
      const deleted = results.filter((name) => name !== undefined);
      if (context.out.isForPeople) for (const name of deleted) context.out.line(`${name}: deleted`);
      else if (deleted.length > 0) await context.out.data(deleted.map((name) => ({ name, deleted: true })));
      return exitCode;
    },
  },
  {
    group: 'secret',
    verb: 'rotate-key',
    summary: 'Encrypt all secrets with a new key, and forget the old one',
    description: 'Values stay as they are. Backups of before can still be read with the key file of before.',
    examples: ['skerry secret rotate-key'],
    async run(context) {
      const client = await context.client();
      const done = await client.call('secret.rotate-key');
      await context.out.result(done, () => [`${done.secrets} secrets have a new key`]);
    },
  },
];
