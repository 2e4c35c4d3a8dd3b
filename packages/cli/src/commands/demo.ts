import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { formatDuration, type Node, SkerryError } from '@skerry/api/base';
import type { Skerry } from '@skerry/sdk';
import type { Command } from '../grammar/index.ts';
import { printable, renderTable, VM_COLUMNS, waterfall } from '../tables/index.ts';
import { type Context, paint } from '../terminal/index.ts';
import { doTask } from './do-task.ts';
import { forwardsOf } from '../tables/index.ts';
import { vmsOf } from './node.ts';

const EXAMPLE = fileURLToPath(new URL('../../../../examples/shop.yaml', import.meta.url));
const LOG_DEADLINE_MS = 5_000;

export const demoCommand: Command = {
  group: '',
  verb: 'demo',
  summary: 'Bring up the example shop of three VMs, use it, and show what happened',
  description: 'The node is left running. Run again it is quick: everything is there.',
  examples: ['skerry demo'],
  async run(context) {
    const begun = performance.now();
    const { loadNodeFile } = await import('@skerry/sdk/node-file');
    const body = await loadNodeFile(EXAMPLE);
    const client = await context.client();
    title('skerry up examples/shop.yaml');
    const node = await doTask(context, body.name, 'node.up', { body });
    if (node === undefined) return;
    const vms = await vmsOf(client, node.name);
    process.stdout.write(renderTable(vms, VM_COLUMNS));
    const [forward] = forwardsOf(node);
    if (forward !== undefined) await viewPage(context, client, node, forward.host);
    const web = vms.find(({ name }) => name === `${node.name}/web`) ?? vms[0];
    if (web !== undefined) {
      title(`skerry exec ${web.name} -- uname -a`);
      context.out.line(printable((await client.exec(web.name, ['uname', '-a'])).stdout.trim()));
      title(`skerry info ${web.name}    (where the time of its start went)`);
      for (const line of web.status.start === undefined ? [] : waterfall(web.status.start)) context.out.line(line);
    }
    title(`Done in ${formatDuration(performance.now() - begun)}. The node goes on. Try next:`);
    for (const next of nextCommands(node, forward?.host)) context.out.line(`  ${next}`);
  },
};

/** Reads the shop's page through the forwarded port, and the line that this gives at the logger. */
async function viewPage(context: Context, client: Skerry, node: Node, address: string): Promise<void> {
  const before = await logLines(client, node);
  title(`curl http://${address}/`);
  const response = await fetch(`http://${address}/`, {
    signal: AbortSignal.any([context.signal, AbortSignal.timeout(10_000)]),
  }).catch((error: unknown) => {
    throw new SkerryError('failed', `The shop does not answer at ${address}: ${String(error)}`, {
      remedy: `See \`skerry logs ${node.name}/web\` and \`skerry node show ${node.name}\`.`,
      cause: error,
    });
  });
  context.out.line(
    printable(
      `${response.status} ${(await response.text())
        .replace(/<[^>]*>/g, ' ')
        .replace(/\s+/g, ' ')
        .trim()}`,
    ),
  );
  title(`skerry logs ${node.name}/logs`);
  for (const deadline = performance.now() + LOG_DEADLINE_MS; performance.now() < deadline; await sleep(50)) {
    const lines = await logLines(client, node);
    if (lines.length <= before.length) continue;
    context.out.line(printable(lines.at(-1) ?? ''));
    return;
  }
  context.out.note('The page view has not come to the logger.');
}

async function logLines(client: Skerry, node: Node): Promise<string[]> {
  const chunks: Buffer[] = [];
  const logs = await client.download('vm.logs', { params: { vm: `${node.name}/logs` } });
  for await (const chunk of logs as AsyncIterable<Buffer>) chunks.push(chunk);
  return Buffer.concat(chunks)
    .toString()
    .split('\n')
    .filter((line) => line !== '');
}

function nextCommands(node: Node, address: string | undefined): string[] {
  return [
    ...(address === undefined ? [] : [`curl http://${address}/`]),
    `skerry shell ${node.name}/web`,
    `skerry exec ${node.name}/cache -- redis-cli get shop:views`,
    `skerry logs ${node.name}/logs -f`,
    `skerry node show ${node.name}`,
    `skerry down ${node.name}`,
  ];
}

function title(text: string): void {
  process.stdout.write(`\n${paint(`$ ${text}`.replace(/^\$ Done/, 'Done'), '1', process.stdout)}\n`);
}
