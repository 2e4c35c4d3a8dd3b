import { readFile } from 'node:fs/promises';
import { answers, findEndpoint } from '@skerry/sdk/daemon-process';
import type { Command } from '../grammar/index.ts';

export const versionCommand: Command = {
  group: '',
  verb: 'version',
  summary: 'The version of this program, and of the daemon if it runs',
  examples: ['skerry version'],
  async run(context) {
    const version = await ownVersion();
    const { socketPath } = findEndpoint(context.host);
    const runs = socketPath === undefined || (await answers(socketPath));
    const daemon = runs ? (await (await context.client()).call('daemon.info')).version : undefined;
    await context.out.result({ version, daemon: daemon ?? null, node: process.version }, () => [
      `skerry ${version}`,
      daemon === undefined ? 'daemon: does not run' : `daemon ${daemon}`,
      `node ${process.version}`,
    ]);
  },
};

/** Of this program. */
export async function ownVersion(): Promise<string> {
  const manifest = await readFile(new URL('../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(manifest) as { version: string }).version;
}
