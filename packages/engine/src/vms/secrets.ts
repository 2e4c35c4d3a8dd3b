import { Readable } from 'node:stream';
import type { GuestSecrets } from '../secrets/index.ts';
import type { AgentClient } from './agent/index.ts';

/**
 * Puts secrets into a guest: on /run, which is memory of the guest (native/agent/init.c), for root alone. A path elsewhere is
 * only a link, so that the value is never on the VM's disk. Needs no process of the guest: those of a fork stand still.
 */
export async function giveSecrets(agent: AgentClient, { files }: GuestSecrets): Promise<void> {
  for (const { path, link, content } of files) {
    await agent.put(path, Readable.from([content]), { mode: 0o400, makeParents: true });
    if (link !== undefined) await agent.link(link, path);
  }
}
