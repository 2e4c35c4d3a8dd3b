import { SkerryError, type NodeSpec, type Vm } from '@skerry/api';
import { isAlive, type VmService, type WorkOptions } from '../vms/index.ts';
import { changeOf, dependentsOf, networkName, vmSpecOf, type NodeFacts } from './plan.ts';
import type { NodePorts } from './service.ts';

/** Brings a node up and down: each VM as soon as what it depends on is there, all others beside it. */

/** How long a dependency may take to become healthy; its own health check says what is wrong with it. */
const HEALTHY_TIMEOUT_MS = 180_000;

export async function bringUp(
  ports: NodePorts,
  node: string,
  spec: NodeSpec,
  facts: NodeFacts,
  work: WorkOptions,
): Promise<void> {
  // One failure ends the others: nobody waits for a node that will not come.
  const failed = new AbortController();
  const signal = work.signal === undefined ? failed.signal : AbortSignal.any([failed.signal, work.signal]);
  const inner = { ...work, signal };

  for (const image of new Set(Object.values(spec.vms).map((vm) => vm.image))) {
    const builds = image in spec.recipes || image === 'micro';
    if (!builds || facts.imageDigests.has(image)) continue;
    await ports.buildImage(image, spec.recipes[image], {
      ...inner,
      onProgress: (text, fraction) => work.onProgress?.(`image ${image}: ${text}`, fraction),
    });
  }
  for (const [name, network] of Object.entries(spec.networks)) {
    await ports.networks.ensure(networkName(node, name), network, node);
  }
  for (const [name, vm] of facts.vms) {
    if (!(name in spec.vms)) await ports.vms.delete(vm.id, { force: true }, inner);
  }
  // An image that was built just now has another digest than the facts know.
  const digests = new Map(facts.imageDigests);
  for (const [image, recipe] of Object.entries(spec.recipes)) {
    const digest = await ports.imageDigest(image, recipe);
    if (digest !== undefined) digests.set(image, digest);
  }

  const started = new Map<string, Promise<Vm>>();
  const startOne = (name: string): Promise<Vm> => {
    const known = started.get(name);
    if (known !== undefined) return known;
    const starting = (async () => {
      const declared = spec.vms[name];
      if (declared === undefined) throw new SkerryError('internal', `${name} is not declared`);
      const fullName = `${node}/${name}`;
      const say = (text: string): void => work.onProgress?.(`${fullName}: ${text}`);
      // Made at once, started when its dependencies are there.
      const made = ensureVm(
        ports,
        fullName,
        vmSpecOf(node, declared),
        facts.vms.get(name),
        digests.get(declared.image),
        inner,
        say,
      );
      await Promise.all([
        made,
        ...declared.dependsOn.map(async ({ vm, condition }) => {
          const dependency = await startOne(vm);
          if (condition !== 'healthy') return;
          const onProgress = (why: string): void => say(`waiting for ${vm}: ${why}`);
          await ports.vms.wait(dependency.id, 'healthy', HEALTHY_TIMEOUT_MS, { signal, onProgress });
        }),
      ]);
      const { vm, restart } = await made;
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
  const all = Object.keys(spec.vms).map(startOne);
  for (const one of all) one.catch((error: unknown) => failed.abort(error));
  const results = await Promise.allSettled(all);
  throwFirst(results, failed.signal.aborted ? failed.signal.reason : undefined);
  await ports.forwardsChanged();

  // The node is up once every health check has passed.
  const health = await Promise.allSettled(
    Object.keys(spec.vms).map(async (name) => {
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

interface Made {
  readonly vm: Vm;
  readonly restart: boolean;
}

async function ensureVm(
  ports: NodePorts,
  name: string,
  wanted: ReturnType<typeof vmSpecOf>,
  actual: Vm | undefined,
  digest: string | undefined,
  work: WorkOptions,
  say: (text: string) => void,
): Promise<Made> {
  if (actual === undefined) {
    say('creating');
    return { vm: await ports.vms.create({ name, spec: wanted, starts: true }, work), restart: false };
  }
  const change = changeOf(wanted, actual, digest);
  if (change.action === 'keep') return { vm: actual, restart: false };
  say(`${change.action === 'replace' ? 'replacing' : 'updating'}: ${change.why ?? ''}`);
  if (change.action === 'replace') {
    await ports.vms.delete(actual.id, { force: true }, work);
    return { vm: await ports.vms.create({ name, spec: wanted, starts: true }, work), restart: false };
  }
  const vm = await ports.vms.setSpec(actual.id, ({ power, restarts }) => ({ ...wanted, power, restarts }));
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
      // One that is suspended has no process, and keeps its memory.
      if (vm === undefined || vm.status.state === 'suspended') return;
      if (vm.status.state !== 'stopped') work.onProgress?.(`${vm.name}: stopping`);
      await service.stop(vm.id, work, { timeoutMs: 10_000 });
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
