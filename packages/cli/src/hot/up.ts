import type { Node, PlanStep, Vm } from '@skerry/api/base';
import { renderNode } from '../tables/index.ts';
import { ask } from './ask.ts';
import { rememberedFile } from './remembered.ts';

/**
 * `skerry up FILE` of a node that is up already, and has nothing to change: the daemon is asked what there would be to do.
 * @returns what to print; undefined: there is something to do, or somebody else has to find out
 */
export async function hotUp(socketPath: string, file: string, format: string): Promise<string | undefined> {
  const body = await rememberedFile(file);
  if (body === undefined) return undefined;
  const [plan, node, all] = (await Promise.all([
    ask(socketPath, '/v1/nodes/plan', { body }),
    ask(socketPath, `/v1/nodes/${encodeURIComponent(body.name)}`),
    ask(socketPath, '/v1/vms'),
  ])) as [PlanStep[] | undefined, Node | undefined, Vm[] | undefined];
  if (!Array.isArray(plan) || node === undefined || !Array.isArray(all)) return undefined;
  if (node.status.state !== 'up' || plan.some(({ action }) => action !== 'keep')) return undefined;
  if (format === 'json') return `${JSON.stringify(node, undefined, 2)}\n`;
  const vms = all.filter(({ name }) => name.startsWith(`${node.name}/`));
  return `${renderNode(node, vms, format === 'wide')}\n`;
}
