import { formatBytes, SkerryError } from '@skerry/api/base';
import type { Command } from '../../grammar/index.ts';
import { Copier } from './copier.ts';
import { parsePlace } from './places.ts';

export const copyCommand: Command = {
  group: 'vm',
  verb: 'cp',
  positionals: [
    {
      name: 'source',
      value: 'SOURCE',
      many: true,
      completes: 'place',
      summary: 'VM:/path, a path here, or - for standard input',
    },
    {
      name: 'target',
      value: 'TARGET',
      completes: 'place',
      summary: 'the same, or - for standard output; a directory ends with /',
    },
  ],
  options: [{ name: 'recursive', short: 'r', summary: 'copy directories with all that is in them' }],
  summary: 'Copy files into VMs and out of them; each is checked by its SHA-256',
  examples: [
    'skerry cp ./file web-vm:/root/',
    'skerry cp web-vm:/etc/hostname -',
    'skerry cp -r ./site shop/web:/srv/',
    'echo hi | skerry cp - web-vm:/tmp/hi',
  ],
  async run(context, args) {
    const target = parsePlace(args.required('target'));
    const sources = args.texts('source').map(parsePlace);
    if (target.kind !== 'guest' && sources.some(({ kind }) => kind !== 'guest')) {
      throw new SkerryError('invalid', 'Neither end is in a VM', { remedy: 'Write a path in a VM as VM:/path.' });
    }
    if (sources.length > 1 && target.kind !== 'stream' && !target.path.endsWith('/')) {
      throw new SkerryError('invalid', 'Several files need a directory to go to', {
        remedy: `End it with a slash: ${args.required('target')}/`,
      });
    }
    const copier = new Copier(context, await context.client());
    for (const source of sources) await copier.copy(source, target, args.flag('recursive'));
    if (target.kind === 'stream') return;
    await context.out.result(copier.copied, () => []);
    if (!context.out.isForPeople) return;
    for (const { from, to, bytes } of copier.copied) context.out.note(`${from} -> ${to} (${formatBytes(bytes)})`);
  },
};
