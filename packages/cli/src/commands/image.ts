import { formatBytes, formatMib, type Image, type ImageBuildInput, SkerryError } from '@skerry/api/base';
import type { Command, Positional } from '../grammar/index.ts';
import { type Column, padEnd, printable } from '../tables/index.ts';
import { doTask, forEach } from './do-task.ts';

const IMAGE: Positional = { name: 'image', aliases: ['os', 'name'], value: 'IMAGE', summary: 'its name or digest' };

const COLUMNS: ReadonlyArray<Column<Image>> = [
  { title: 'NAME', of: ({ name }) => name },
  { title: 'DIGEST', of: ({ digest }) => digest.slice(0, 12) },
  { title: 'SIZE', of: ({ sizeBytes }) => formatBytes(sizeBytes) },
  { title: 'DISK', of: ({ virtualSizeBytes }) => formatBytes(virtualSizeBytes) },
  { title: 'FORMAT', of: ({ format }) => format },
  { title: 'MIN-MEMORY', of: ({ minMemoryMib }) => formatMib(minMemoryMib) },
  { title: 'KERNEL', of: ({ kernel }) => kernel },
  { title: 'CREATED', of: ({ createdAt }) => createdAt },
  { title: 'COMMAND', of: ({ command }) => command?.join(' '), wide: true },
  { title: 'PACKAGES', of: ({ packages }) => packages.length, wide: true },
];

const buildCommand: Command = {
  group: 'image',
  verb: 'build',
  positionals: [
    { name: 'target', value: 'TARGET', completes: 'file', summary: '`micro`, `micro-ssh`, or the path of a recipe' },
  ],
  options: [
    { name: 'name', value: 'NAME', summary: 'what it is called; default: micro, or what the recipe says' },
    {
      name: 'kernel',
      value: 'KERNEL',
      choices: ['micro', 'distro'],
      summary: "micro: build our kernel; distro: unpack the distribution's",
    },
    { name: 'format', value: 'FORMAT', choices: ['qcow2', 'raw'], summary: 'of its disk: qcow2 (default) or raw' },
  ],
  summary: 'Build the micro image with its kernel, or an image from a recipe',
  description: 'What is built already from the same inputs is taken as it is.',
  examples: [
    'skerry image build ./recipe.yaml',
    'skerry image build micro',
    'skerry image build micro --kernel distro',
  ],
  async run(context, args) {
    const target = args.required('target');
    const name = args.text('name');
    const body: ImageBuildInput = {
      target: target === 'micro' || target === 'micro-ssh' ? target : await recipeAt(target),
      ...(name === undefined ? {} : { name }),
      kernel: (args.text('kernel') ?? 'micro') as 'micro' | 'distro',
      format: (args.text('format') ?? 'qcow2') as 'qcow2' | 'raw',
    };
    const image = await doTask(context, target, 'image.build', { body });
    if (image === undefined) return;
    const size = `${formatBytes(image.sizeBytes)} on disk, ${formatBytes(image.virtualSizeBytes)} in the guest`;
    await context.out.result(image, () => [`${image.name}: ${image.digest.slice(0, 12)}, ${size}`]);
  },
};

async function recipeAt(path: string) {
  if (!/[./]/.test(path)) {
    throw new SkerryError('invalid', `'${path}' is neither 'micro', 'micro-ssh' nor the path of a recipe`, {
      remedy: 'Write ./recipe.yaml for a recipe in this directory.',
    });
  }
  const { loadRecipe } = await import('@skerry/sdk/node-file');
  return await loadRecipe(path);
}

export const imageCommands: readonly Command[] = [
  buildCommand,
  {
    group: 'image',
    verb: 'list',
    aliases: ['ls'],
    summary: 'All images',
    examples: ['skerry image list'],
    async run(context) {
      const client = await context.client();
      await context.out.rows(await client.call('image.list'), COLUMNS);
    },
  },
  {
    group: 'image',
    verb: 'show',
    aliases: ['info'],
    positionals: [IMAGE],
    summary: 'One image and the packages in it',
    examples: ['skerry image show micro'],
    async run(context, args) {
      const client = await context.client();
      const image = await client.call('image.get', { params: { image: args.required('image') } });
      await context.out.result(image, () => [
        ...COLUMNS.flatMap(({ title, of }) =>
          of(image) === undefined ? [] : [`${padEnd(`${title.toLowerCase()}:`, 12)}${printable(String(of(image)))}`],
        ),
        ...image.packages.map((each) => `  ${each}`),
      ]);
    },
  },
  {
    group: 'image',
    verb: 'delete',
    positionals: [{ ...IMAGE, many: true }],
    summary: 'Delete images that no VM uses',
    examples: ['skerry image delete shop-web'],
    async run(context, args) {
      const { results, exitCode } = await forEach(context, args.texts('image'), async (name) => {
        const done = await doTask(context, name, 'image.delete', { params: { image: name } });
        return done === undefined ? undefined : name;
      });
      const deleted = results.filter((name) => name !== undefined);
      if (context.out.isForPeople) for (const name of deleted) context.out.line(`${name}: deleted`);
      else if (deleted.length > 0) await context.out.data(deleted.map((name) => ({ name, deleted: true })));
      return exitCode;
    },
  },
];
