import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import {
  Admission,
  createQemuDriver,
  EgressService,
  EventLog,
  ForkService,
  findJailHost,
  ForwardService,
  ImageService,
  hostMemory,
  isAlive,
  macFor,
  NETWORK_KIND,
  NetworkService,
  NODE_KIND,
  NodeCopyService,
  NodeService,
  openSqliteStore,
  PoolService,
  Resources,
  splitVmName,
  SwitchService,
  TaskService,
  Turns,
  UidClaims,
  UsageService,
  VM_KIND,
  VmController,
  VmService,
  type AdmissionLimits,
  type WorkOptions,
} from '@skerry/engine';
import {
  parseDurationMs,
  parseMemoryMib,
  SkerryError,
  TemplateBuild,
  type Forward,
  type NetworkSpec,
  type NetworkStatus,
  type NodeSpec,
  type NodeStatus,
  type PoolSet,
  type TemplatePolicy,
  type Vm,
  type VmSpec,
  type VmStatus,
} from '@skerry/api';
import { bootBuilder } from './builder.ts';
import { buildTemplateFor, templateService } from './templates.ts';
import { HostService } from './host.ts';
import type { DaemonPaths } from './paths.ts';

/** The composition root: the engine's parts, put together once. */

/** A start waits now and then; more than this only take turns at the processors, and the daemon with them. */
const STARTS_PER_PROCESSOR = 1.5;

export interface PlatformOptions {
  readonly paths: DaemonPaths;
  readonly log: (level: 'info' | 'warn' | 'error', message: string, details?: Record<string, unknown>) => void;
}

export type Platform = Awaited<ReturnType<typeof openPlatform>>;

export async function openPlatform({ paths, log }: PlatformOptions) {
  const onError = (error: SkerryError, what = ''): void => {
    log(error.code === 'internal' ? 'error' : 'warn', what === '' ? error.message : `${what}: ${error.message}`, {
      code: error.code,
      stack: error.stack,
    });
  };
  await using undo = new AsyncDisposableStack();
  const store = await openSqliteStore({ path: join(paths.dataDir, 'store.db') });
  undo.defer(() => store.close());
  const tasks = new TaskService(store, { onError });
  const events = new EventLog(store, { onError });
  const vms = new Resources<VmSpec, VmStatus>(store, VM_KIND);
  const nodes = new Resources<NodeSpec, NodeStatus>(store, NODE_KIND);
  const networkResources = new Resources<NetworkSpec, NetworkStatus>(store, NETWORK_KIND);
  const listVms = async (): Promise<readonly Vm[]> => (await vms.list()).items as readonly Vm[];

  const admission: Admission = new Admission({
    ...admissionLimits(process.env),
    memory: () => hostMemory(),
    giveWay: (lackingMib) => pools.giveWay(lackingMib),
  });
  const host = new HostService(paths, admission);
  const jail = await findJailHost();
  const driver = createQemuDriver({ jail });
  const warn = (line: string): void => log('warn', line);
  const switches = new SwitchService({ runtimeDir: paths.runtimeDir, jail, log: warn });
  const networks = new NetworkService({
    networks: networkResources,
    vms: listVms,
    switches,
    egress: new EgressService({ runtimeDir: paths.runtimeDir, jail, log: warn }),
  });
  const images = new ImageService({
    paths: paths.images,
    vms: listVms,
    saveOn: (digest) => nodeCopies.saveOn(digest),
    bootBuilder: bootBuilder({ driver, host, runtimeDir: paths.runtimeDir }),
    onBackground: (state, message) => {
      log(state === 'failed' ? 'warn' : 'info', message);
      void events.emit({ type: `kernel.build-${state}`, message });
    },
  });
  const uids = new UidClaims();
  const templates = templateService({ paths, driver, host, uids, events });
  const pools: PoolService = new PoolService({
    driver,
    templates,
    images,
    uids,
    admission,
    host: () => host.profile(),
    dirs: (id) => controller.dirs(id),
    liveOptions: (id) => controller.liveOptions(id),
    macOf: (id) => macFor(id, 0),
    vmExists: async (id) => (await vms.find(id)) !== undefined,
    dataDir: paths.dataDir,
    onError,
  });
  const controller: VmController = new VmController({
    vms,
    templates,
    pools,
    turns: new Turns(Math.max(2, Math.ceil(STARTS_PER_PROCESSOR * availableParallelism()))),
    admission,
    uids,
    events,
    driver,
    images,
    networks,
    dataDir: paths.dataDir,
    runtimeDir: paths.runtimeDir,
    host: () => host.profile(),
    agentTimeoutMs: agentTimeoutMs(process.env['SKERRY_AGENT_TIMEOUT']),
    onError,
  });
  const forwarding = new ForwardService({
    dial: async (vmId, port) => (await vmService.agent(vmId)).forward(port),
  });
  /** Forwards of the VMs that run; `but` is left out, for it is about to change. */
  const wantedForwards = async (but?: ReadonlySet<string>) =>
    (await listVms())
      .filter((vm) => (vm.status.state === 'running' || vm.status.state === 'paused') && but?.has(vm.id) !== true)
      .flatMap((vm) => vm.spec.forwards.map((forward) => portForward(vm.id, forward)));
  const syncForwards = async (): Promise<void> => forwarding.sync(await wantedForwards());
  const vmService = new VmService({
    vms,
    controller,
    events,
    images,
    networks,
    pools,
    admission,
    assertPortsFree: async (forwards, vmId) => {
      const others = await wantedForwards(new Set(vmId === undefined ? [] : [vmId]));
      await forwarding.assertPortsFree([...others, ...forwards.map((forward) => portForward(vmId ?? '', forward))]);
    },
  });
  const forks = new ForkService({ vms, service: vmService, controller, images, networks, admission, events });
  const nodeService = new NodeService({
    nodes,
    vms: vmService,
    admission,
    events,
    imageDigest: (name, recipe) => images.digestOf(name, recipe),
    buildImage: (name, recipe, work) => images.ensure(name, recipe, work),
    networks,
    assertPortsFree: async (spec, members) => {
      const own = new Set([...members.values()].map((vm) => vm.id));
      const others = await wantedForwards(own);
      const asked = Object.values(spec.vms).flatMap((vm) => vm.forwards.map((forward) => portForward('', forward)));
      await forwarding.assertPortsFree([...others, ...asked]);
    },
    forwardsChanged: syncForwards,
    onDeleted: (id) => nodeCopies.forget(id),
    onError,
  });
  const nodeCopies: NodeCopyService = new NodeCopyService({
    nodes,
    nodeService,
    admission,
    vms,
    service: vmService,
    controller,
    images,
    networks,
    events,
    savesDir: join(paths.dataDir, 'saves'),
  });

  const usage = new UsageService({
    vms: listVms,
    switchStats: () => switches.stats(),
    templateBytes: async () => templates.memoryBytes(),
    pools: () => pools.list(),
  });

  /** Forwards follow the VMs: whatever changed their state, and whoever. */
  const following = new AbortController();
  const followForwards = async (): Promise<void> => {
    const { revision } = await vms.list();
    let known = '';
    for await (const _ of vms.watch({ fromRevision: revision + 1, signal: following.signal })) {
      const wanted = JSON.stringify(await wantedForwards());
      if (wanted === known) continue;
      known = wanted;
      await syncForwards().catch((error: unknown) => onError(SkerryError.from(error), 'forwards'));
    }
  };

  /** Templates that shall be there before somebody starts a VM; nobody waits for them. */
  const makeEager = (names: readonly string[]): void => {
    for (const image of names) {
      buildTemplateFor({ templates, images, host }, TemplateBuild.parse({ image }), {}).catch((error: unknown) =>
        onError(SkerryError.from(error), `template of ${image}`),
      );
    }
  };

  /** Finds what runs; nothing is started twice. */
  const recover = async () => {
    const startedAtMs = performance.now();
    await Promise.all([tasks.recover(), templates.recover(), pools.recover(), nodeCopies.recover()]);
    const counts = { adopted: 0, ended: 0 };
    await Promise.all(
      (await listVms()).map(async (vm) => {
        try {
          const found = await controller.adopt(vm);
          if (found === 'adopted') {
            counts.adopted += 1;
            await networks.plug(vm, controller.dirs(vm.id).runtimeDir);
          }
          if (found === 'ended') counts.ended += 1;
        } catch (error) {
          onError(SkerryError.from(error), `adoption of ${vm.name}`);
        }
      }),
    );
    const adoption = { ...counts, ms: Math.round(performance.now() - startedAtMs) };
    await networks.recover().catch((error: unknown) => onError(SkerryError.from(error), 'networks'));
    await syncForwards().catch((error: unknown) => onError(SkerryError.from(error), 'forwards'));
    followForwards().catch((error: unknown) => {
      if (!following.signal.aborted) onError(SkerryError.from(error), 'forwards');
    });
    // What was begun goes on; a VM that a node waits for is the node's business.
    const begunNodes = await nodeService.recover();
    for (const vm of await listVms()) {
      const isNodes = begunNodes.has(splitVmName(vm.name).node ?? '');
      if (isNodes && vm.status.state !== 'deleting' && vm.status.state !== 'stopping') continue;
      controller.converge(vm.id).catch((error: unknown) => onError(SkerryError.from(error), vm.name));
    }
    makeEager(await templates.eagerImages());
    pools.start();
    return adoption;
  };

  const resources = undo.move();
  return {
    store,
    tasks,
    events,
    host,
    images,
    networks,
    templates: {
      list: () => templates.list(),
      get: (ref: string) => templates.get(ref),
      async delete(ref: string) {
        const { id } = templates.get(ref);
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
      build: (wanted: TemplateBuild, work: WorkOptions) => buildTemplateFor({ templates, images, host }, wanted, work),
    },
    pools: {
      list: () => pools.list(),
      async set(image: string, wanted: PoolSet) {
        if (wanted.size > 0 && image !== 'micro') await images.get(image);
        return pools.set(image, wanted);
      },
    },
    forks,
    nodeCopies,
    controller,
    vms: vmService,
    nodes: nodeService,
    usage,
    recover,
    /** Lets go of everything: VMs, switch and ways out go on. */
    async close(): Promise<void> {
      following.abort();
      await images.close();
      await pools.close();
      await templates.close();
      // A host without VMs has no process of ours once the daemon is stopped.
      if ((await listVms()).every(({ status }) => !isAlive(status.state))) await templates.clear();
      await tasks.close({ timeoutMs: 5000 });
      await forwarding.close();
      await controller.close();
      await networks.close();
      await events.flush();
      await resources.disposeAsync();
    },
  };
}

/** SKERRY_AGENT_TIMEOUT=5m: for hosts so slow, or so busy, that a guest takes longer to boot than we would wait. */
function agentTimeoutMs(text: string | undefined): number | undefined {
  return text === undefined || text === '' ? undefined : parseDurationMs(text);
}

/** SKERRY_MEMORY_BUDGET=4Gi: what all VMs together may be promised. SKERRY_MEMORY_OVERCOMMIT=1: no more than there is. */
function admissionLimits(env: NodeJS.ProcessEnv): AdmissionLimits {
  const { SKERRY_MEMORY_BUDGET: budget = '', SKERRY_MEMORY_OVERCOMMIT: factor = '' } = env;
  const overcommit = factor === '' ? undefined : Number(factor);
  if (overcommit !== undefined && !(overcommit > 0 && overcommit <= 100)) {
    throw new SkerryError('invalid', `SKERRY_MEMORY_OVERCOMMIT is '${factor}', not a factor`, {
      remedy: 'Set it to a number such as 1.5 (more may be promised than there is) or 1 (no more).',
    });
  }
  return { overcommit, budgetMib: budget === '' ? undefined : parseMemoryMib(budget) };
}

function portForward(vmId: string, { hostAddress, hostPort, guestPort }: Forward) {
  return { hostAddress, hostPort, to: { vmId, port: guestPort } };
}
