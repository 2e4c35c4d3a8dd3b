import { distrust, findEndpoint } from '@skerry/sdk/daemon-process';
import type { NameKind } from '../grammar/index.ts';
import { ask } from '../hot/ask.ts';
import type { Candidate } from './candidates.ts';

/** Names from the daemon, if it runs. It is not started for this, and nobody waits for one that is busy. */

const GIVE_UP_MS = 1000;

interface Listed {
  readonly name?: string;
  readonly id?: string;
  readonly image?: string;
  readonly description?: string;
  readonly title?: string;
  readonly status?: { readonly state?: string };
}

const LISTS: Readonly<
  Record<Exclude<NameKind, 'file'>, { path: string; of: (each: Listed) => Candidate | undefined }>
> = {
  vm: { path: '/v1/vms', of: named },
  place: { path: '/v1/vms', of: ({ name = '' }) => ({ word: `${name}:` }) },
  node: { path: '/v1/nodes', of: named },
  image: { path: '/v1/images', of: named },
  network: { path: '/v1/networks', of: named },
  secret: { path: '/v1/secrets', of: named },
  fault: { path: '/v1/faults', of: named },
  template: { path: '/v1/templates', of: ({ id = '', image }) => ({ word: id, summary: image }) },
  task: { path: '/v1/tasks', of: ({ id = '', description }) => ({ word: id, summary: description }) },
};

export async function namesOf(kind: Exclude<NameKind, 'file'>, host: string | undefined): Promise<Candidate[]> {
  const endpoint = findEndpoint(host);
  if (endpoint.socketPath === undefined || distrust(endpoint) !== undefined) return [];
  const { path, of } = LISTS[kind];
  const answer = await ask(endpoint.socketPath, path, { giveUpMs: GIVE_UP_MS });
  if (!Array.isArray(answer)) return [];
  return (answer as Listed[]).map(of).filter((candidate) => candidate !== undefined);
}

function named({ name = '', title, status }: Listed): Candidate | undefined {
  return name === '' ? undefined : { word: name, summary: title ?? status?.state };
}
