import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import {
  Admission,
  assertShareUsable,
  createBackup,
  createQemuDriver,
  EventLog,
  ForkService,
  findJailHost,
  Policies,
  ForwardService,
  ImageService,
  hostMemory,
  isAlive,
  KeyRing,
  macFor,
  NETWORK_KIND,
  NODE_KIND,
  finishRestore,
  openSqliteStore,
  PoolService,
  removeUnfinishedBackups,
  Resources,
  ShareDirectories,
  ShareService,
  SECRET_KIND,
  SecretService,
  SpareJail,
  STORE_FILE,
  TaskService,
  Turns,
  UidClaims,
  upgradeResources,
  UsageService,
  VM_KIND,
  VmChanges,
  VmController,
  VmService,
  type SecretSpec,
  type WorkOptions,
} from '@skerry/engine';
import {
  SkerryError,
  type BackupCreate,
  type NetworkSpec,
  type NetworkStatus,
  type NodeSpec,
  type NodeStatus,
  type Node,
  type Vm,
  type VmSpec,
  type VmStatus,
} from '@skerry/api';
import { bootBuilder } from './builder.ts';
import { openExplain } from './explain.ts';
import { openFaults } from './faults.ts';
import { VmForwards } from './forwards.ts';
import { openNodes, type NodeServices } from './nodes.ts';
import { sharedStates, templateService, templateVerbs } from './templates.ts';
import { HostService } from './host.ts';
import { openNetworks } from './networks.ts';
import { openNics } from './nics.ts';
import type { DaemonPaths } from './paths.ts';
import { Recovery } from './recovery.ts';
import { admissionLimits, agentTimeoutMs, shareRules } from './settings.ts';
import { taskEvent } from './task-events.ts';
import { watchVms } from './watch.ts';

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
  await finishRestore(paths.dataDir);
  const store = await openSqliteStore({ path: join(paths.dataDir, STORE_FILE) });
  undo.defer(() => store.close());
  const { changed } = await upgradeResources(store);
  if (changed.length > 0) log('info', `brought to the form of this version: ${changed.length} resources`, { changed });
  await removeUnfinishedBackups(paths.dataDir);
  const tasks = new TaskService(store, {
    onError,
    onState: (task) => {
      // What is asked of a node belongs to what happens to it; of a VM it is one and the same.
      if (task.target?.kind === 'node') void events.emit(taskEvent(task));
    },
  });
  const events = new EventLog(store, { onError });
  const vms = new Resources<VmSpec, VmStatus>(store, VM_KIND);
  const nodes = new Resources<NodeSpec, NodeStatus>(store, NODE_KIND);
  const listVms = async (): Promise<readonly Vm[]> => (await vms.list()).items as readonly Vm[];
  const listNodes = async (): Promise<readonly Node[]> => (await nodes.list()).items as readonly Node[];

  const secrets = new SecretService({
    secrets: new Resources<SecretSpec, object>(store, SECRET_KIND),
    keys: new KeyRing({
      path: join(paths.dataDir, 'secrets.key'),
      credentials: process.env['CREDENTIALS_DIRECTORY'],
    }),
    vms: listVms,
    nodes: listNodes,
    events,
  });
  const admission: Admission = new Admission({
    ...admissionLimits(process.env),
    memory: () => hostMemory(),
    giveWay: (lackingMib) => pools.giveWay(lackingMib),
  });
  const jail = await findJailHost();
  const spare = new SpareJail(jail.vmjailPath);
  const driver = createQemuDriver({ jail, spare, policies: new Policies() });
  const host = new HostService(paths, admission, driver.capabilities().maxDevices);
  const warn = (line: string): void => log('warn', line);
  const network = openNetworks({
    networks: new Resources<NetworkSpec, NetworkStatus>(store, NETWORK_KIND),
    vms: listVms,
    nodes: listNodes,
    events,
    host,
    assertPortsFree: (network) => forwards.assertFreeWith(network),
    forwardsChanged: () => forwards.sync(),
    runtimeDir: paths.runtimeDir,
    instance: paths.instance,
    jail,
    log: warn,
  });
  const { switches, verbs: networkVerbs, changes: networkChanges, service: networks } = network;
  const images = new ImageService({
    paths: paths.images,
    vms: listVms,
    saveOn: (digest) => nodeServices.nodeCopies.saveOn(digest),
    bootBuilder: bootBuilder({ driver, host, runtimeDir: paths.runtimeDir }),
    onBackground: (state, message) => {
      log(state === 'failed' ? 'warn' : 'info', message);
      void events.emit({ type: `kernel.build-${state}`, message });
    },
  });
  const shares = new ShareDirectories({
    rules: shareRules(paths),
    capabilities: () => driver.capabilities(),
    assertUsable: (share) => assertShareUsable(jail, share),
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
    isOnSwitch: (network) => networks.isOnSwitch(network),
    vmExists: async (id) => (await vms.find(id)) !== undefined,
    dataDir: paths.dataDir,
    onError,
  });
  const controller: VmController = new VmController({
    vms,
    templates,
    pools,
    shares,
    turns: new Turns(Math.max(2, Math.ceil(STARTS_PER_PROCESSOR * availableParallelism()))),
    admission,
    secrets,
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
  const forwards: VmForwards = new VmForwards({ vms, networks: () => networkVerbs.list(), forwarding, onError });
  const vmService = new VmService({
    vms,
    controller,
    events,
    images,
    networks,
    pools,
    admission,
    shares,
    secrets,
    assertPortsFree: (wanted, vmId) => forwards.assertFree(wanted, vmId === undefined ? [] : [vmId]),
    leaveLinks: (vmId) => nicServices.links.leave(vmId),
  });
  const nicServices = openNics({
    ...{ vms, listVms, controller, images, networks, verbs: networkVerbs, events, onError },
    captures: network.captures,
    socketDir: join(paths.runtimeDir, 'readers'),
    capabilities: () => driver.capabilities(),
  });
  const changes = new VmChanges({
    vms,
    service: vmService,
    controller,
    events,
    images,
    networks,
    nics: nicServices.nics,
    imageDigest: (name) => images.digestOf(name, undefined),
    assertPortsFree: (wanted, vmId) => forwards.assertFree(wanted, vmId === undefined ? [] : [vmId]),
    forwardsChanged: () => forwards.sync(),
  });
  const forks = new ForkService({
    ...{ vms, service: vmService, controller, images, networks, admission, events },
    ...{ host: () => host.profile(), sharedStates: sharedStates({ paths, driver, host, uids }) },
  });
  const nodeServices: NodeServices = openNodes({
    ...{ nodes, vms, vmService, controller, admission, shares, events, images, forwards, network, onError },
    savesDir: join(paths.dataDir, 'saves'),
  });
  const { nodeService, nodeCopies, nodeVerbs } = nodeServices;

  const faults = openFaults({ store, vms, vmService, controller, nodeService, network, events, onError });
  const explain = openExplain({ network, listVms, faults, vmService });

  const usage = new UsageService({
    vms: listVms,
    switchStats: () => switches.stats(),
    templateBytes: () => templates.memoryBytes(),
    pools: () => pools.list(),
  });

  const verbs = templateVerbs({ templates, pools, images, host, onError });

  const recovery = new Recovery({
    store,
    bootIdPath: paths.bootIdPath,
    vms: vmService,
    nodeResources: nodes,
    nodes: nodeService,
    nodeCopies,
    ...nicServices,
    controller,
    tasks,
    templates,
    pools,
    networks,
    bridged: network.bridged,
    forwards,
    faults,
    events,
    makeEager: verbs.makeEager,
    onError,
  });

  const resources = undo.move();
  return {
    store,
    tasks,
    events,
    host,
    images,
    networkVerbs,
    networkChanges,
    networks,
    explain,
    templates: verbs.templates,
    pools: verbs.pools,
    changes,
    backup: (wanted: BackupCreate, version: string, work: WorkOptions) =>
      createBackup(
        {
          dataDir: paths.dataDir,
          imagesDir: paths.images.imagesDir,
          store,
          version,
          vms: listVms,
          exclusively: (id, body) => controller.exclusively(id, body),
        },
        wanted,
        work,
      ),
    forks,
    ...nicServices,
    shares: new ShareService({ vms, controller, images, directories: shares }),
    nodeCopies,
    nodeVerbs,
    watchVms: (signal: AbortSignal) => watchVms(vms, signal),
    secrets,
    controller,
    vms: vmService,
    nodes: nodeService,
    usage,
    faults,
    recover: () => recovery.run(),
    /** Lets go of everything: VMs, switch and ways out go on. */
    async close(): Promise<void> {
      forwards.close();
      await spare.close();
      await images.close();
      await pools.close();
      await templates.close();
      // A host without VMs has no process of ours once the daemon is stopped.
      if ((await listVms()).every(({ status }) => !isAlive(status.state))) await templates.clear();
      await tasks.close({ timeoutMs: 5000 });
      await forwarding.close();
      await faults.close();
      await controller.close();
      await networks.close();
      await network.bridged.close();
      await events.flush();
      await resources.disposeAsync();
    },
  };
}
