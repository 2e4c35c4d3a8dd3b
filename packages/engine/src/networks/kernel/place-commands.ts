import { run, type Argv } from '../../hosts/index.ts';
import { readFlooded, readLinks, readQueues, readVlans, type ActualPlace } from './actual-model.ts';
import type { PlaceSteps } from './diff-plan.ts';
import { interfacePrefix, netnsPrefix, tableName } from './names-model.ts';
import type { Place } from './kernel-model.ts';

/** Reading and changing what a network namespace holds, by the host's own tools: each takes a whole batch at once. */

const TIMEOUT_MS = 10_000;
const MAX_OUTPUT_BYTES = 64 * 1024 * 1024;

/** Namespaces of this instance. */
export async function ownNamespaces(tag: string): Promise<string[]> {
  const output = (await readJson(['ip', '-j', 'netns', 'list'])) as Array<{ name: string }> | undefined;
  return (output ?? []).map(({ name }) => name).filter((name) => name.startsWith(netnsPrefix(tag)));
}

/**
 * @param wanted what of it matters; undefined: whatever there is
 * @returns undefined when there is no such namespace, or what is called so is none any more
 */
export async function readPlace(
  netns: string | undefined,
  wanted: Place | undefined,
  tag: string,
): Promise<ActualPlace | undefined> {
  const prefix = interfacePrefix(tag);
  const table = tableName(tag);
  const links = wanted?.links ?? [];
  const [addresses, inet, bridge, fdb, qdiscs, vlans] = await Promise.all([
    readJson(['ip', ...inside(netns), '-j', '-d', 'address', 'show']),
    readJson(nft(netns, '-j', 'list', 'table', 'inet', table)),
    readJson(nft(netns, '-j', 'list', 'table', 'bridge', table)),
    links.some(({ kind }) => kind === 'vxlan')
      ? readJson(['bridge', ...inside(netns), '-j', 'fdb', 'show'])
      : undefined,
    links.some(({ kind }) => kind === 'tap') ? readJson(['tc', ...inside(netns), '-j', 'qdisc', 'show']) : undefined,
    links.some((link) => link.kind === 'bridge' && link.ownVlan !== undefined)
      ? readJson(['bridge', ...inside(netns), '-j', 'vlan', 'show'])
      : undefined,
  ]);
  if (addresses === undefined) return undefined;
  return {
    netns,
    links: readLinks(addresses, prefix),
    flooded: readFlooded(fdb ?? []),
    queues: readQueues(qdiscs ?? [], prefix),
    vlans: readVlans(vlans ?? []),
    tables: { inet, bridge },
  };
}

/** @returns what was refused: it may have gone meanwhile, so whoever asked looks again */
export async function applySteps({ netns, nft: text, ip, bridge, tc }: PlaceSteps): Promise<string> {
  // No interface may come up without its rules.
  if (text !== '') await run(nft(netns, '-f', '-'), { input: text, timeoutMs: TIMEOUT_MS });
  const refused: string[] = [];
  for (const [tool, lines] of [
    ['ip', ip],
    ['bridge', bridge],
    ['tc', tc],
  ] as const) {
    if (lines.length === 0) continue;
    const { stderr } = await run([tool, ...inside(netns), '-force', '-batch', '-'], {
      input: `${lines.join('\n')}\n`,
      timeoutMs: TIMEOUT_MS,
      okExitCodes: 'any',
    });
    if (stderr !== '') refused.push(stderr.trim());
  }
  return refused.join('\n');
}

export async function makeNamespace(netns: string): Promise<void> {
  const { exitCode } = await run(['ip', 'netns', 'add', netns], { timeoutMs: TIMEOUT_MS, okExitCodes: 'any' });
  if (exitCode === 0) return;
  // A name that a crash has left without its namespace.
  await removeNamespace(netns);
  await run(['ip', 'netns', 'add', netns], { timeoutMs: TIMEOUT_MS });
}

export async function removeNamespace(netns: string): Promise<void> {
  await run(['ip', 'netns', 'delete', netns], { timeoutMs: TIMEOUT_MS, okExitCodes: 'any' });
}

/** What puts a command into the namespace. */
export function within(netns: string | undefined): string[] {
  return netns === undefined ? [] : ['ip', 'netns', 'exec', netns];
}

function inside(netns: string | undefined): string[] {
  return netns === undefined ? [] : ['-n', netns];
}

function nft(netns: string | undefined, ...args: string[]): Argv {
  const [command = 'nft', ...rest] = [...within(netns), 'nft', ...args];
  return [command, ...rest];
}

/** @returns undefined when there is nothing of that name */
export async function readJson(argv: Argv): Promise<unknown> {
  const { stdout, exitCode } = await run(argv, {
    timeoutMs: TIMEOUT_MS,
    maxOutputBytes: MAX_OUTPUT_BYTES,
    okExitCodes: 'any',
  });
  if (exitCode !== 0) return undefined;
  // ip and tc print nothing at all where there is nothing to tell.
  return stdout.trim() === '' ? [] : JSON.parse(stdout);
}
