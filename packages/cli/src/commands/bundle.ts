import { resolve } from 'node:path';
import { formatBytes } from '@skerry/api/base';
import type { Command } from '../grammar/index.ts';
import { doTask } from './do-task.ts';
import { requiredTo, TO } from './file-option.ts';

export const bundleCommands: readonly Command[] = [
  {
    group: 'bundle',
    verb: 'create',
    options: [
      TO,
      { name: 'image', value: 'NAME', many: true, summary: 'an image, by name or digest' },
      {
        name: 'node',
        value: 'FILE',
        many: true,
        summary: 'a node file: the images of its VMs, built if they are not there',
      },
    ],
    summary: 'Write images, kernels and initramfs into a file, for hosts without a network',
    description:
      'Without --image and --node: all images there are. Skerry itself (its package brings Node) and QEMU have to be on the ' +
      'other host, of the same version of Skerry; node files are carried along by you.',
    examples: [
      'skerry bundle create --to site.bundle',
      'skerry bundle create --to shop.bundle --node examples/shop.yaml',
      'skerry bundle create --to micro.bundle --image micro',
    ],
    async run(context, args) {
      const to = requiredTo(args);
      const { loadNodeFile } = await import('@skerry/sdk/node-file');
      const nodes = await Promise.all(args.texts('node').map((path) => loadNodeFile(path)));
      const body = {
        to,
        images: [...args.texts('image')],
        nodes: nodes.map(({ name, spec }) => ({ name, spec })),
        force: context.force,
      };
      const result = await doTask(context, 'bundle', 'bundle.create', { body });
      if (result === undefined) return;
      const { path, sizeBytes, images, kernels } = result;
      await context.out.result(result, () => [
        `${path}: ${formatBytes(sizeBytes)}; images ${images.map(({ name }) => name).join(', ')}; kernels ${kernels.join(', ')}`,
      ]);
    },
  },
  {
    group: 'bundle',
    verb: 'load',
    positionals: [{ name: 'file', value: 'FILE', summary: 'what `bundle create` has written' }],
    summary: 'Take what is in a bundle, unless it is there; no network is needed',
    examples: ['skerry bundle load site.bundle'],
    async run(context, args) {
      const body = { from: resolve(args.required('file')) };
      const result = await doTask(context, 'bundle', 'bundle.load', { body });
      if (result === undefined) return;
      const { images, kernels, loaded } = result;
      const what = `images ${images.map(({ name }) => name).join(', ')}; kernels ${kernels.join(', ')}`;
      await context.out.result(result, () => [
        loaded === 0 ? `All of it is there already: ${what}` : `Loaded: ${what}`,
      ]);
    },
  },
];
