import { totalmem } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { isBuiltIn, SkerryError, TemplateBuild, type PoolSet, type Template, type TemplatePolicy } from '@skerry/api';
import {
  connectAgent,
  diskSizeBytes,
  isolationOf,
  shapeLaunch,
  SharedStates,
  TemplateService,
  type Driver,
  type EventLog,
  type ImageService,
  type TemplatePorts,
  type PoolService,
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
    isolate: isolateIn({ host, uids }),
    onEvent: (type, message, data) => void events.emit({ type, message, data }),
  });
}

/** What several forks of one VM go on from. */
export function sharedStates({ paths, driver, host, uids }: Omit<TemplateParts, 'events'>): SharedStates {
  const { runtimeDir, dataDir } = paths;
  return new SharedStates({ driver, runtimeDir, dataDir, isolate: isolateIn({ host, uids }) });
}

function isolateIn({ host, uids }: Pick<TemplateParts, 'host' | 'uids'>): TemplatePorts['isolate'] {
  return async ({ cpus, memoryMib }, name) => {
    const profile = await host.profile();
    const uid = uids.claim(profile);
    return {
      isolation: isolationOf({ cpus, memoryMib }, { ...profile, uid }, name),
      release: () => uids.release(uid),
    };
  };
}

export interface TemplateVerbParts {
  readonly templates: TemplateService;
  readonly pools: PoolService;
  readonly images: ImageService;
  readonly host: HostService;
  readonly onError: (error: SkerryError, what: string) => void;
}

/** What a user can ask of templates and pools. */
export function templateVerbs(parts: TemplateVerbParts) {
  const { templates, pools, images, onError } = parts;
  /** Templates that shall be there before somebody starts a VM; nobody waits for them. */
  const makeEager = (names: readonly string[]): void => {
    for (const image of names) {
      buildTemplateFor(parts, TemplateBuild.parse({ image }), {}).catch((error: unknown) =>
        onError(SkerryError.from(error), `template of ${image}`),
      );
    }
  };
  return {
    makeEager,
    templates: {
      list: () => templates.list(),
      get: (ref: string) => templates.get(ref),
      async delete(ref: string) {
        const { id } = await templates.get(ref);
        await templates.delete(id);
        await pools.renew(id);
      },
      prune: (which: { readonly unusedForMs: number }) => templates.prune(which),
      async setPolicy(image: string, policy: TemplatePolicy) {
        await images.get(image);
        const set = await templates.setPolicy(image, policy);
        if (policy === 'eager') makeEager([image]);
        return set;
      },
      build: (wanted: TemplateBuild, work: WorkOptions) => buildTemplateFor(parts, wanted, work),
    },
    pools: {
      list: () => pools.list(),
      async set(image: string, wanted: PoolSet) {
        if (wanted.size > 0 && !isBuiltIn(image)) await images.get(image);
        return pools.set(image, wanted);
      },
    },
  };
}

/** For a person who does not want the first VM of a shape to wait for its template. */
async function buildTemplateFor(
  { templates, images, host }: TemplateVerbParts,
  { image, kernel, ...shape }: TemplateBuild,
  work: WorkOptions,
): Promise<Template> {
  const [boot, profile] = await Promise.all([images.bootFiles({ image, kernel }, undefined, work), host.profile()]);
  const diskBytes = [diskSizeBytes(boot.image, undefined)];
  return templates.make({ launch: shapeLaunch(shape, boot, profile), diskBytes, image, root: boot.image }, work.signal);
}
