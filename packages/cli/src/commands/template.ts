import { formatBytes, formatDuration, formatMib, type Template, type TemplatePolicy } from '@skerry/api/base';
import type { Command, Positional } from '../grammar/index.ts';
import { type Column, padEnd, printable } from '../tables/index.ts';
import { doTask, forEach } from './do-task.ts';
import { IMAGE, SHAPE_OPTIONS, shapeOf } from './vm-parameters.ts';

const TEMPLATE: Positional = {
  name: 'template',
  aliases: ['id'],
  value: 'ID',
  summary: 'its id, or the first characters of it',
};

const ago = (at: string): string => `${formatDuration(Math.max(0, Date.now() - Date.parse(at)))} ago`;

export const TEMPLATE_COLUMNS: ReadonlyArray<Column<Template>> = [
  { title: 'ID', of: ({ id }) => id },
  { title: 'STATE', of: ({ state }) => state },
  { title: 'CPU', of: ({ shape }) => shape.cpus },
  { title: 'MEMORY', of: ({ shape }) => formatMib(shape.memoryMib) },
  { title: 'NICS', of: ({ shape }) => shape.nics },
  { title: 'KERNEL', of: ({ shape }) => shape.kernel },
  { title: 'IMAGE', of: ({ image }) => image ?? 'any' },
  { title: 'HOLDS', of: ({ memoryBytes }) => formatBytes(memoryBytes) },
  { title: 'CLONES', of: ({ clones }) => clones },
  { title: 'USED', of: ({ usedAt }) => ago(usedAt) },
  { title: 'ORIGIN', of: ({ origin }) => origin, wide: true },
  { title: 'DISKS', of: ({ shape }) => shape.disks, wide: true },
  { title: 'MACHINE', of: ({ shape }) => `${shape.machine}/${shape.accelerator}`, wide: true },
  { title: 'QEMU', of: ({ qemuVersion }) => qemuVersion, wide: true },
  { title: 'STATE-SIZE', of: ({ stateBytes }) => formatBytes(stateBytes), wide: true },
  { title: 'BUILT-IN', of: ({ buildMs }) => formatDuration(buildMs), wide: true },
  { title: 'CREATED', of: ({ createdAt }) => createdAt, wide: true },
];

export const templateCommands: readonly Command[] = [
  {
    group: 'template',
    verb: 'list',
    aliases: ['ls'],
    summary: 'All templates, and the memory that they hold',
    examples: ['skerry template list', 'skerry template list -o wide'],
    async run(context) {
      const client = await context.client();
      await context.out.rows(await client.call('template.list'), TEMPLATE_COLUMNS);
    },
  },
  {
    group: 'template',
    verb: 'show',
    aliases: ['info'],
    positionals: [TEMPLATE],
    summary: 'Everything about a template',
    examples: ['skerry template show 3f2a9c0d11e45b67'],
    async run(context, args) {
      const client = await context.client();
      const template = await client.call('template.get', { params: { template: args.required('template') } });
      await context.out.result(template, () =>
        TEMPLATE_COLUMNS.map(
          ({ title, of }) => `${padEnd(`${title.toLowerCase()}:`, 12)}${printable(String(of(template)))}`,
        ),
      );
    },
  },
  {
    group: 'template',
    verb: 'build',
    positionals: [{ ...IMAGE, optional: true }],
    options: [
      ...SHAPE_OPTIONS,
      { name: 'nics', value: 'N', summary: 'number of NICs; default: 1' },
      { name: 'kernel', value: 'KERNEL', choices: ['auto', 'micro', 'distro'], summary: 'default: auto' },
    ],
    summary: 'Make the template of an image and shape now, instead of at its first start',
    description: 'One that is there already is taken as it is.',
    examples: ['skerry template build', 'skerry template build shop-web --cpus 2 --memory 256Mi'],
    async run(context, args) {
      const [image, nics, kernel] = [args.text('image'), args.int('nics'), args.text('kernel')];
      const template = await doTask(context, image ?? 'micro', 'template.build', {
        body: {
          ...(image === undefined ? {} : { image }),
          ...shapeOf(args),
          ...(nics === undefined ? {} : { nics }),
          ...(kernel === undefined ? {} : { kernel: kernel as 'auto' | 'micro' | 'distro' }),
        },
      });
      if (template === undefined) return;
      await context.out.result(template, () => [
        `${template.id}: ${template.state}, holds ${formatBytes(template.memoryBytes)}, built in ${formatDuration(template.buildMs)}`,
      ]);
    },
  },
  {
    group: 'template',
    verb: 'delete',
    positionals: [{ ...TEMPLATE, many: true }],
    summary: 'Let go of the memory of templates; their clones go on',
    examples: ['skerry template delete 3f2a9c0d11e45b67'],
    async run(context, args) {
      const { results, exitCode } = await forEach(context, args.texts('template'), async (id) => {
        const done = await doTask(context, id, 'template.delete', { params: { template: id } });
        return done === undefined ? undefined : id;
      });
      const deleted = results.filter((id) => id !== undefined);
      if (context.out.isForPeople) for (const id of deleted) context.out.line(`${id}: deleted`);
      else if (deleted.length > 0) await context.out.data(deleted.map((id) => ({ id, deleted: true })));
      return exitCode;
    },
  },
  {
    group: 'template',
    verb: 'prune',
    options: [{ name: 'unused-for', value: 'DURATION', summary: 'only those not used for so long; default: all' }],
    summary: 'Delete the templates that have not been used for some time',
    examples: ['skerry template prune --unused-for 1h', 'skerry template prune'],
    async run(context, args) {
      const unusedForMs = args.durationMs('unused-for');
      const pruned = await doTask(context, 'templates', 'template.prune', {
        body: unusedForMs === undefined ? {} : { unusedForMs },
      });
      if (pruned === undefined) return;
      const { deleted, freedBytes } = pruned;
      await context.out.result(pruned, () => [
        ...deleted.map((id) => `${id}: deleted`),
        deleted.length === 0 ? 'Nothing to delete' : `${formatBytes(freedBytes)} freed`,
      ]);
    },
  },
  {
    group: 'template',
    verb: 'policy',
    positionals: [
      IMAGE,
      {
        name: 'policy',
        value: 'POLICY',
        choices: ['auto', 'eager', 'never'],
        summary: 'auto: made at the first start; eager: made ahead of it; never: VMs boot',
      },
    ],
    summary: 'Whether VMs of an image are cloned from templates',
    examples: ['skerry template policy shop-web eager', 'skerry template policy micro auto'],
    async run(context, args) {
      const client = await context.client();
      const done = await client.call('template.policy', {
        params: { image: args.required('image') },
        body: { policy: args.required('policy') as TemplatePolicy },
      });
      await context.out.result(done, () => [`${done.image}: ${done.policy}`]);
    },
  },
];
