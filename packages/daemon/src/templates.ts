import { totalmem } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Template, TemplateBuild } from '@skerry/api';
import {
  connectAgent,
  diskSizeBytes,
  isolationOf,
  shapeLaunch,
  TemplateService,
  type Driver,
  type EventLog,
  type ImageService,
  type UidClaims,
  type WorkOptions,
} from '@skerry/engine';
import type { HostService } from './host.ts';
import type { DaemonPaths } from './paths.ts';

/** Templates, put together: what boots them, confines them, and how many a host keeps. */

export interface TemplateParts {
  readonly paths: DaemonPaths;
  readonly driver: Driver;
  readonly host: HostService;
  readonly uids: UidClaims;
  readonly events: EventLog;
}

const BOOT_TIMEOUT_MS = 90_000;
/** After its answer the guest is still busy for some milliseconds, which each clone would go on with. */
const SETTLE_MS = 50;
/**
 * Where nobody waits: the kernel puts off by a second what follows from a link that came up (net/core/link_watch.c), and its
 * first reseeding (drivers/char/random.c); each clone would do it, too.
 */
const LONG_SETTLE_MS = 1300;
/** Clones have it in common and need not look for it on their disks: what processes are made of, and what an identity looks at. */
const OFTEN_READ = [
  '/bin/sh',
  '/lib64/ld-linux-x86-64.so.2',
  '/lib/x86_64-linux-gnu/libc.so.6',
  ...['hostname', 'hosts', 'machine-id', 'resolv.conf', 'ssh', 'dropbear'].map((name) => `/etc/${name}`),
];
const UNUSED_FOR_MS = 24 * 3_600_000;
/** Of the host's memory, for all templates together. */
const MEMORY_SHARE = 0.25;

export function templateService({ paths, driver, host, uids, events }: TemplateParts): TemplateService {
  return new TemplateService({
    driver,
    runtimeDir: paths.runtimeDir,
    dataDir: paths.dataDir,
    policyPath: join(paths.dataDir, 'templates.json'),
    limits: () => ({ unusedForMs: UNUSED_FOR_MS, memoryBytes: totalmem() * MEMORY_SHARE }),
    async ready(machine, mountsRoot, signal) {
      const agent = await connectAgent(machine.sockets.agent, { timeoutMs: BOOT_TIMEOUT_MS, signal });
      if (mountsRoot) await agent.mountRoot('vda', OFTEN_READ, { signal });
      agent.close();
      await sleep(mountsRoot ? LONG_SETTLE_MS : SETTLE_MS, undefined, { signal });
    },
    async isolate({ cpus, memoryMib }, name) {
      const profile = await host.profile();
      const uid = uids.claim(profile);
      return {
        isolation: isolationOf({ cpus, memoryMib }, { ...profile, uid }, name),
        release: () => uids.release(uid),
      };
    },
    onEvent: (type, message, data) => void events.emit({ type, message, data }),
  });
}

/** For a person who does not want the first VM of a shape to wait for its template. */
export async function buildTemplateFor(
  { templates, images, host }: { templates: TemplateService; images: ImageService; host: HostService },
  { image, kernel, ...shape }: TemplateBuild,
  work: WorkOptions,
): Promise<Template> {
  const [boot, profile] = await Promise.all([images.bootFiles({ image, kernel }, undefined, work), host.profile()]);
  const diskBytes = [diskSizeBytes(boot.image, undefined)];
  return templates.make({ launch: shapeLaunch(shape, boot, profile), diskBytes, image, root: boot.image }, work.signal);
}
