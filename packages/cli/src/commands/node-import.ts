import { writeFile } from 'node:fs/promises';
import { SkerryError } from '@skerry/api/base';
import type { Finding } from '@skerry/sdk/node-file';
import type { Command } from '../grammar/index.ts';
import { printable } from '../tables/index.ts';
import type { Context } from '../terminal/index.ts';

export const importCommand: Command = {
  group: 'node',
  verb: 'import',
  positionals: [
    { name: 'file', value: 'FILE', summary: 'a compose file, or a containerlab topology; `-` is standard input' },
  ],
  options: [
    { name: 'to', value: 'FILE', summary: 'the node file to write; --force replaces one that is there' },
    { name: 'name', value: 'NAME', summary: 'of the node; default: as the file or its directory says' },
  ],
  summary: 'Write the node file for a compose file or a containerlab topology',
  description:
    'Without --to it goes to standard output. What could not be translated is told on standard error, with line and column: ' +
    '`lost` (the node file does not say it), `changed` (it says it in another way), `unneeded` (nothing is lost). With -o json ' +
    'or yaml all of it is one answer.',
  examples: [
    'skerry node import docker-compose.yml --to shop.yaml',
    'skerry node import lab.clab.yaml',
    'docker compose config | skerry node import - --name shop --to shop.yaml',
  ],
  async run(context, args) {
    const path = args.required('file');
    const [name, to = '-'] = [args.text('name'), args.text('to')];
    const { importNodeFile } = await import('@skerry/sdk/node-file');
    const imported = await importNodeFile(path, { name, to });
    if (to !== '-') await write(context, to, imported.text);
    const { format, file, text, findings } = imported;
    if (!context.out.isForPeople) {
      await context.out.data({ format, name: imported.name, ...(to === '-' ? {} : { to }), file, findings });
      return;
    }
    if (to === '-') process.stdout.write(text);
    const shown = path === '-' ? 'standard input' : path;
    for (const finding of findings) for (const line of linesOf(shown, finding)) context.out.note(line);
    if (to !== '-') context.out.note(`${to}: written; try it with \`skerry up ${to} --dry-run\``);
  },
};

async function write(context: Context, to: string, text: string): Promise<void> {
  try {
    await writeFile(to, text, { flag: context.force ? 'w' : 'wx' });
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    if (code === 'EEXIST') {
      throw new SkerryError('conflict', `${to} is there already`, {
        remedy: 'Name another file, or add --force to replace it.',
        cause: error,
      });
    }
    throw new SkerryError('failed', `${to} can't be written: ${(error as Error).message}`, {
      remedy: 'Name a file in a directory that is there and yours.',
      cause: error,
    });
  }
}

function linesOf(file: string, { kind, path, line, column, message, remedy }: Finding): string[] {
  const where = path === '' ? '' : `${path}: `;
  return [
    `${file}:${line}:${column}: ${kind}: ${where}${message}`,
    ...(remedy === undefined ? [] : [`  ${remedy}`]),
  ].map(printable);
}
