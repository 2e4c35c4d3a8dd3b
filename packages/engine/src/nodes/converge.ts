import { isBuiltIn, SkerryError, type NodeSpec, type NodeVm, type Vm } from '@skerry/api';
import { isAlive, type VmService, type WorkOptions } from '../vms/index.ts';
import {
  changedSpec,
  changeOf,
  dependentsOf,
  headerOf,
  networkName,
  networkSpecOf,
  vmSpecOf,
  type NodeFacts,
} from './plan.ts';
import type { NodePorts } from './service.ts';

/** Brings a node up and down: each VM as soon as what it depends on is there, all others beside it. */

/** How long a dependency may take to become healthy; its own health check says what is wrong with it. */
export const HEALTHY_TIMEOUT_MS = 180_000;

export type BringUpPorts = Pick<NodePorts, 'vms' | 'networks' | 'imageDigest' | 'buildImage' | 'forwardsChanged'>;

export interface BringUpOptions extends WorkOptions {
  /** These alone, and what they depend on; VMs that are there stay as they are, whatever is declared. */
  readonly only?: ReadonlySet<string> | undefined;
}

/** @param spec each replica a VM of its own */
export async function bringUp(
  ports: BringUpPorts,
  node: string,
  spec: NodeSpec,
  facts: NodeFacts,
  { only, ...work }: BringUpOptions,
): Promise<void> {
  // One failure ends the others: nobody waits for a node that will not come.
  const failed = new AbortController();
  const signal = work.signal === undefined ? failed.signal : AbortSignal.any([failed.signal, work.signal]);
  const inner = { ...work, signal };

  for (const image of new Set(Object.values(spec.vms).map((vm) => vm.image))) {
    const builds = image in spec.recipes || isBuiltIn(image);
    if (!builds || facts.imageDigests.has(image)) continue;
    await ports.buildImage(image, spec.recipes[image], {
      ...inner,
      onProgress: (text, fraction) => work.onProgress?.(`image ${image}: ${text}`, fraction),
    });
  }
  for (const [name, network] of Object.entries(spec.networks)) {
    if (only !== undefined && facts.networks.has(name)) continue;
    await ports.networks.declare(networkName(node, name), networkSpecOf(node, network));
  }
  for (const [name, vm] of facts.vms) {
    if (!(name in spec.vms) && only === undefined) await ports.vms.delete(vm.id, { force: true }, inner);
  }
  // An image that was built just now has another digest than the facts know.
  const digests = new Map(facts.imageDigests);
  for (const [image, recipe] of Object.entries(spec.recipes)) {
    const digest = await ports.imageDigest(image, recipe);
    if (digest !== undefined) digests.set(image, digest);
  }

  const wanted = Object.keys(spec.vms).filter((name) => only?.has(name) !== false);
  const withAddress = wanted.filter((name) => spec.vms[name]?.nics.some(({ address }) => address !== undefined));
  const made = new Map<string, Promise<Made>>();
  const makeOne = (name: string): Promise<Made> => {
    const known = made.get(name);
    if (known !== undefined) return known;
    const making = (async () => {
      const declared = spec.vms[name];
      if (declared === undefined) throw new SkerryError('internal', `${name} is not declared`);
      const actual = facts.vms.get(name);
      if (actual !== undefined && only !== undefined) return { vm: actual, restart: false };
      // Another one could be given an address that is said of these.
      if (!withAddress.includes(name)) await Promise.all(withAddress.map(makeOne));
      const fullName = `${node}/${name}`;
      const say = (text: string): void => work.onProgress?.(`${fullName}: ${text}`);
      const digest = digests.get(declared.image);
      return ensureVm(ports, fullName, declared, vmSpecOf(node, declared), actual, digest, inner, say);
    })();
    made.set(name, making);
    return making;
  };
  const started = new Map<string, Promise<Vm>>();
  const startOne = (name: string): Promise<Vm> => {
    const known = started.get(name);
    if (known !== undefined) return known;
    const starting = (async () => {
      const declared = spec.vms[name];
      if (declared === undefined) throw new SkerryError('internal', `${name} is not declared`);
      const say = (text: string): void => work.onProgress?.(`${node}/${name}: ${text}`);
      // Made at once, started when its dependencies are there.
      await Promise.all([
        makeOne(name),
        ...declared.dependsOn.map(async ({ vm, condition }) => {
          const dependency = await startOne(vm);
          if (condition !== 'healthy') return;
          const onProgress = (why: string): void => say(`waiting for ${vm}: ${why}`);
          await ports.vms.wait(dependency.id, 'healthy', HEALTHY_TIMEOUT_MS, { signal, onProgress });
        }),
      ]);
      const { vm, restart } = await makeOne(name);
      if (vm.status.state !== 'running' || restart) say('starting');
      const running = restart ? await ports.vms.restart(vm.id, inner) : await ports.vms.start(vm.id, inner);
      const ms = running.status.start?.totalMs;
      if (vm.status.state !== 'running' || restart)
        say(ms === undefined ? 'running' : `running (${Math.round(ms)} ms)`);
      return running;
    })();
    started.set(name, starting);
    return starting;
  };
  const all = wanted.map(startOne);
  for (const one of all) one.catch((error: unknown) => failed.abort(error));
  const results = await Promise.allSettled(all);
  throwFirst(results, failed.signal.aborted ? failed.signal.reason : undefined);
  await ports.forwardsChanged();
  for (const name of Object.keys(facts.before?.networks ?? {})) {
    if (!(name in spec.networks) && only === undefined) await removeNetwork(ports, networkName(node, name), work);
  }

  // The node is up once every health check has passed.
  const health = await Promise.allSettled(
    wanted.map(async (name) => {
      const vm = await startOne(name);
      if (vm.spec.health === undefined) return;
      const say = (text: string): void => work.onProgress?.(`${vm.name}: ${text}`);
      const onProgress = (why: string): void => say(`waiting for its health check: ${why}`);
      say('waiting for its health check');
      await ports.vms.wait(vm.id, 'healthy', HEALTHY_TIMEOUT_MS, { signal: work.signal, onProgress });
      say('healthy');
    }),
  );
  throwFirst(health, undefined);
}

/** Of a network that is no longer declared. A VM that was put on it by hand keeps it. */
async function removeNetwork({ networks }: BringUpPorts, name: string, work: WorkOptions): Promise<void> {
  try {
    await networks.delete(name);
  } catch (error) {
    const { code, message } = SkerryError.from(error);
    if (code !== 'in-use') throw error;
    work.onProgress?.(`network ${name} stays: ${message}`);
  }
}

interface Made {
  readonly vm: Vm;
  readonly restart: boolean;
}

async function ensureVm(
  ports: BringUpPorts,
  name: string,
  declared: NodeVm,
  wanted: ReturnType<typeof vmSpecOf>,
  actual: Vm | undefined,
  digest: string | undefined,
  work: WorkOptions,
  say: (text: string) => void,
): Promise<Made> {
  const made = { name, ...headerOf(declared), spec: wanted, starts: true };
  if (actual === undefined) {
    say('creating');
    return { vm: await ports.vms.create(made, work), restart: false };
  }
  const change = changeOf(wanted, actual, digest, headerOf(declared));
  if (change.action === 'keep') return { vm: actual, restart: false };
  say(`${change.action === 'replace' ? 'replacing' : 'updating'}: ${change.why ?? ''}`);
  if (change.action === 'replace') {
    await ports.vms.delete(actual.id, { force: true }, work);
    return { vm: await ports.vms.create(made, work), restart: false };
  }
  const vm = await ports.vms.setSpec(actual.id, (spec) => changedSpec(wanted, spec), headerOf(declared));
  return { vm, restart: change.action === 'restart' && isAlive(actual.status.state) };
}

/** Stops each VM once those that depend on it have stopped. */
export async function bringDown(
  service: VmService,
  spec: NodeSpec,
  members: ReadonlyMap<string, Vm>,
  work: WorkOptions,
): Promise<void> {
  const stopped = new Map<string, Promise<unknown>>();
  const stopOne = (name: string): Promise<unknown> => {
    const known = stopped.get(name);
    if (known !== undefined) return known;
    const stopping = (async () => {
      await Promise.all(dependentsOf(spec, name).map(stopOne));
      const vm = members.get(name);
      // One that is suspended has no process, and keeps its memory; one that is being deleted is somebody else's.
      if (vm === undefined || vm.status.state === 'suspended' || vm.status.state === 'deleting') return;
      if (vm.status.state !== 'stopped') work.onProgress?.(`${vm.name}: stopping`);
      await service.stop(vm.id, work);
    })();
    stopped.set(name, stopping);
    return stopping;
  };
  throwFirst(await Promise.allSettled([...members.keys()].map(stopOne)), undefined);
}

function throwFirst(results: readonly PromiseSettledResult<unknown>[], reason: unknown): void {
  const failure = results.find((result) => result.status === 'rejected');
  if (failure !== undefined) throw reason ?? failure.reason;
}
