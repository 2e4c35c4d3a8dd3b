import { createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { SkerryError, type Fault } from '@skerry/api';
import type { TestHost } from '@skerry/testkit';
import { filesIn, kernelObjects, listeningPorts } from './networks-check.ts';
import { MEMORY_MIB, NODE, type Places, type Step } from './networks-step.ts';
import { nextStep } from './networks-steps.ts';
import { differences, emptyWorld, learned, paths, worldOf, type Disturbance, type World } from './networks-world.ts';
import { walk, type Disturbances } from './networks-walk.ts';
import { Random } from './random.ts';

/**
 * Networks under random requests, with the daemon killed among them. What was acknowledged is there, what was refused is not,
 * what was cut off is whole or gone; and VMs reach each other exactly where they should.
 */

const PORTS = 5;
const KILL_CHANCE = 0.1;
/** Paths are walked after a kill, and in each so many rounds. */
const WALK_EVERY = 4;
const REST_TIMEOUT_MS = 30_000;
const POLL_MS = 50;
/** How long before and after its end nobody knows whether a fault holds. */
const EDGE_MS = 1500;
/** A fault is no longer listed by then. */
const FAULT_LATE_MS = 5000;

export interface NetworkRound {
  readonly round: number;
  readonly asked: string;
  /** undefined: the daemon was left alone. */
  readonly killedAfterMs: number | undefined;
  readonly outcome: 'done' | 'refused' | 'cut off';
  /** Paths that were walked. */
  readonly walked: number;
  /** What is wrong; none: the round has passed. */
  readonly problems: readonly string[];
}

/** Of the runtime directory, what stays for the next switch, VM and template: the last log of the switch is of use. */
const KEPT_FILES = /^(?:[tv]|egress|captures|switch(?:\/(?:exit\.json|lock|log))?)$/;

interface Outcome {
  readonly outcome: NetworkRound['outcome'];
  readonly error?: SkerryError;
  readonly result?: unknown;
}

export class NetworkRounds {
  readonly #host: TestHost;
  readonly #random: Random;
  readonly #places: Places;
  /** Of the network of the host: its namespace, if that is not ours. */
  readonly #netns: string | undefined;
  /** Of the runtime directory, before there was anything. */
  readonly #files: ReadonlySet<string>;
  #world: World = emptyWorld();
  /** By their names. */
  readonly #faults = new Map<string, Fault>();
  /** Those of which nobody knows whether they still hold. */
  readonly #unsure = new Set<string>();
  readonly #failed = new Set<string>();
  /** When the last daemon that followed a killed one had found all VMs. */
  #restedMs = 0;
  #round = 0;
  #logLength = 0;

  private constructor(
    host: TestHost,
    seed: number,
    places: Places,
    netns: string | undefined,
    files: readonly string[],
  ) {
    this.#host = host;
    this.#random = new Random(seed);
    this.#places = places;
    this.#netns = netns;
    this.#files = new Set(files);
  }

  /** @param kernel networks are in it, and the daemon in this network namespace */
  static async begin(host: TestHost, seed: number, kernel?: { readonly netns: string }): Promise<NetworkRounds> {
    // What takes minutes once on a new machine is not what is asked about: building the image, and a template.
    const name = 'first';
    await host.client.run('network.create', { body: { name, mode: 'isolated' } });
    await host.client.run('vm.create', { body: { name, network: name, memoryMib: MEMORY_MIB, start: true } });
    await host.clear();
    await host.client.run('network.delete', { params: { network: name } });
    const places: Places = { ports: await freePorts(PORTS), datapath: kernel === undefined ? 'user' : 'kernel' };
    return new NetworkRounds(host, seed, places, kernel?.netns, await filesIn(host.dirs.runtimeDir));
  }

  /** @param kill whether the daemon is killed over it; by default chance decides */
  async round(kill?: boolean): Promise<NetworkRound> {
    this.#round += 1;
    const step = nextStep(this.#world, this.#random, this.#places);
    // Drawn in any case: the numbers that follow do not depend on it.
    const [chance, moment] = [this.#random.next(), this.#random.next()];
    const isKilled = kill ?? chance < KILL_CHANCE;
    const killedAfterMs = isKilled ? Math.round(moment * step.usualMs * 1.2) : undefined;
    const problems: string[] = [];
    const startedMs = Date.now();
    const ended = await this.#ask(step, killedAfterMs);
    const before = this.#world;
    const allowed = allowedAfter(step, before, ended, problems);
    await this.#rest(allowed, problems);
    if (isKilled) this.#restedMs = Date.now();
    this.#doubtFaultsOfChanged(before);
    await this.#followFaults(step, ended, startedMs, problems);
    await this.#checkPorts(problems);
    const walks = isKilled || this.#round % WALK_EVERY === 0;
    const walked = walks ? await this.#walk(problems) : 0;
    if (walks) problems.push(...(await this.#traces()));
    problems.push(...(await this.#complaints()));
    return { round: this.#round, asked: step.what, killedAfterMs, outcome: ended.outcome, walked, problems };
  }

  /** Everything is deleted, and nothing is left of it. @returns what is */
  async end(): Promise<string[]> {
    const { client } = this.#host;
    const problems: string[] = [];
    await this.#walk(problems);
    const attempt = async (what: string, body: () => Promise<unknown>): Promise<void> => {
      await body().catch((error: unknown) => problems.push(`${what}: ${(error as Error).message}`));
    };
    for (const { name } of await client.call('link.list')) {
      await attempt(`link delete ${name}`, () => client.run('link.delete', { params: { link: name } }));
    }
    await attempt('delete VMs and nodes', () => this.#host.clear());
    for (const { name } of await client.call('network.list')) {
      await attempt(`network delete ${name}`, () => client.run('network.delete', { params: { network: name } }));
    }
    this.#world = emptyWorld();
    await this.#rest([this.#world], problems);
    await this.#checkPorts(problems);
    const faults = async (): Promise<string[]> =>
      (await client.call('fault.list')).map(({ name, spec }) => `the fault ${name} is left: ${JSON.stringify(spec)}`);
    problems.push(...(await until(faults, FAULT_LATE_MS)));
    problems.push(...(await this.#host.leftovers({ idleNetwork: false })).map((trace) => `left over: ${trace}`));
    const templates = (await client.call('template.list')).map(({ id }) => id.slice(0, 12));
    const files = async (): Promise<string[]> =>
      (await filesIn(this.#host.dirs.runtimeDir)).filter(
        (path) => !this.#files.has(path) && !KEPT_FILES.test(path) && !templates.some((id) => path.includes(id)),
      );
    problems.push(...(await until(files, FAULT_LATE_MS)).map((path) => `left over: ${path}`));
    problems.push(...(await this.#kernelObjects()).map((trace) => `left over: ${trace}`));
    problems.push(...(await this.#complaints()));
    return problems;
  }

  async #ask(step: Step, killedAfterMs: number | undefined): Promise<Outcome> {
    let isDead = false;
    const asked = step.ask(this.#host.client).then(
      (result): Outcome => ({ outcome: 'done', result }),
      (error: unknown): Outcome => ({ outcome: isDead ? 'cut off' : 'refused', error: SkerryError.from(error) }),
    );
    if (killedAfterMs === undefined) return asked;
    await sleep(killedAfterMs);
    isDead = true;
    await this.#host.kill9();
    const ended = await asked;
    await this.#host.start();
    return ended;
  }

  /** Waits until what there is is one of these; it is what the next round goes on from, whatever it is. */
  async #rest(allowed: readonly World[], problems: string[]): Promise<void> {
    const deadline = performance.now() + REST_TIMEOUT_MS;
    for (;;) {
      const { world: found, isAwake } = await this.#look();
      for (const each of allowed) {
        const wanted = learned(each, found);
        if (!isAwake || differences(wanted, found).length > 0) continue;
        this.#world = found;
        return;
      }
      if (performance.now() > deadline) {
        const all = allowed.map((each) => differences(learned(each, found), found));
        const [closest = []] = all.toSorted((a, b) => a.length - b.length);
        problems.push(...closest, ...(isAwake ? [] : ['an agent does not answer']));
        this.#world = found;
        return;
      }
      await sleep(POLL_MS);
    }
  }

  async #look(): Promise<{ world: World; isAwake: boolean }> {
    const { client } = this.#host;
    const [networks, vms, captures] = await Promise.all([
      client.call('network.list'),
      client.call('vm.list'),
      client.call('capture.list'),
    ]);
    const running = captures.filter(({ state }) => state === 'running').map(({ vm, nic }) => `${vm}:${nic}`);
    const isAwake = vms.every(({ status }) => status.state !== 'running' || status.agent?.connected === true);
    return { world: worldOf(networks, vms, running), isAwake };
  }

  async #followFaults(step: Step, { outcome, result }: Outcome, startedMs: number, problems: string[]): Promise<void> {
    const { client } = this.#host;
    const [listed, vms] = await Promise.all([
      client.call('fault.list', { query: { all: true } }),
      client.call('vm.list'),
    ]);
    const ids = new Map(vms.map(({ id, name }) => [id, name]));
    if (step.fault !== undefined && outcome === 'done') this.#faults.set((result as Fault).name, result as Fault);
    if (step.clears !== undefined) this.#clear(step.clears, ids, outcome);
    const now = Date.now();
    for (const fault of listed) {
      const { name, spec, status } = fault;
      const isNew = spec.kind === step.fault?.kind && Date.parse(status.startedAt) >= startedMs;
      if (!this.#faults.has(name) && outcome === 'cut off' && isNew) this.#faults.set(name, fault);
      const known = this.#faults.get(name);
      if (known === undefined) problems.push(`the fault ${name} came from nowhere`);
      // Nobody says of it that it has ended while there is no daemon, nor until the next one has found its VM.
      const lateMs = now - Math.max(endOf(known ?? fault), this.#restedMs);
      if (status.state === 'active' && lateMs > FAULT_LATE_MS)
        problems.push(`${name} is listed ${lateMs} ms after its end`);
      if (status.state === 'failed' && !this.#failed.has(name)) {
        this.#failed.add(name);
        problems.push(`${name} has failed: ${status.message}, ${JSON.stringify(spec)}`);
      }
    }
    for (const [name, fault] of this.#faults) {
      const is = listed.find((each) => each.name === name)?.status.state ?? 'gone';
      const isItsVmThere = fault.spec.kind !== 'partition' && fault.status.vms.some((id) => ids.has(id));
      const shouldBe = isItsVmThere && now < endOf(fault) - EDGE_MS && !this.#unsure.has(name);
      if (shouldBe && is !== 'active') problems.push(`${name} is ${is} before its time`);
    }
  }

  /** What was cut off while faults of a VM were ended has ended them, or not. */
  #clear(vm: string, ids: ReadonlyMap<string, string>, outcome: Outcome['outcome']): void {
    for (const [name, fault] of this.#faults) {
      if (!fault.status.vms.some((id) => ids.get(id) === vm)) continue;
      if (outcome === 'cut off') this.#unsure.add(name);
      const endsAt = new Date(Math.min(Date.now(), endOf(fault))).toISOString();
      if (outcome === 'done') this.#faults.set(name, { ...fault, status: { ...fault.status, endsAt } });
    }
  }

  /** Ports of the host are open for what is forwarded to a VM that runs, and for nothing else. */
  async #checkPorts(problems: string[]): Promise<void> {
    // In the kernel rules lead there, and nobody listens.
    if (this.#places.datapath === 'kernel') return;
    const wanted = new Set<string>();
    for (const [network, { forwards }] of this.#world.networks) {
      for (const forward of forwards) {
        const [, port, protocol, ref = ''] = /:(\d+)\/(\w+) (.*):\d+$/.exec(forward) ?? [];
        const vm = this.#world.vms.get(ref);
        const isThere = [...(vm?.nics.values() ?? [])].some((nic) => nic.network === network);
        if (vm?.state === 'running' && isThere) wanted.add(`${port}/${protocol}`);
      }
    }
    const mine = this.#places.ports.flatMap((port) => [`${port}/tcp`, `${port}/udp`]);
    const wrong = async (): Promise<string[]> => {
      const open = await listeningPorts();
      return mine.flatMap((port) => {
        if (open.has(port) === wanted.has(port)) return [];
        return [`port ${port} of the host is ${open.has(port) ? 'open' : 'closed'}, and should not be`];
      });
    };
    problems.push(...(await until(wrong, FAULT_LATE_MS)));
  }

  async #walk(problems: string[]): Promise<number> {
    const all = paths(this.#world);
    problems.push(...(await walk(this.#host.client, all, (beganMs, endedMs) => this.#disturbances(beganMs, endedMs))));
    return all.length;
  }

  /** What is done to frames all the time between, and what begins or ends in it. */
  #disturbances(beganMs: number, endedMs: number): Disturbances {
    const [surely, perhaps]: [Disturbance[], Disturbance[]] = [[], []];
    for (const fault of this.#faults.values()) {
      const end = endOf(fault);
      const { spec } = fault;
      if (end + EDGE_MS < beganMs) continue;
      const what: Disturbance =
        spec.kind === 'partition'
          ? { groups: spec.groups.map((group) => group.map((name) => `${NODE}/${name}`)) }
          : { nics: 'nic' in spec ? [spec.nic] : [] };
      // What is late arrives.
      if (spec.kind === 'impair' && spec.impairment.loss !== 1) continue;
      const holds = end - EDGE_MS > endedMs && !this.#unsure.has(fault.name);
      (holds ? surely : perhaps).push(what);
    }
    return { surely, perhaps };
  }

  /** A VM that was started anew, or whose NICs were changed, may be free of a fault before its end. */
  #doubtFaultsOfChanged(before: World): void {
    for (const { name, spec } of this.#faults.values()) {
      const vms = 'nic' in spec ? [spec.nic.split(':')[0] ?? ''] : [`${NODE}/a`, `${NODE}/b`];
      if (vms.some((vm) => !isDeepStrictEqual(before.vms.get(vm), this.#world.vms.get(vm)))) this.#unsure.add(name);
    }
  }

  async #traces(): Promise<string[]> {
    // In the kernel each capture is a process.
    const ofCapture = this.#world.captures.size > 0 ? '/captures/' : '\0';
    const found = await this.#host.leftovers({ settleMs: this.#world.captures.size > 0 ? 1000 : 5000 });
    const traces = found.filter((trace) => !trace.includes(ofCapture));
    // Without a VM nothing of ours is in the kernel, in either place.
    const isUsed = [...this.#world.vms.values()].some(({ state }) => state === 'running');
    if (!isUsed) traces.push(...(await until(() => this.#kernelObjects(), FAULT_LATE_MS)));
    return traces.map((trace) => `left over: ${trace}`);
  }

  async #kernelObjects(): Promise<string[]> {
    return kernelObjects(this.#host.dirs.dataDir, this.#netns);
  }

  /** Errors that the daemon itself holds for bugs. */
  async #complaints(): Promise<string[]> {
    const log = await this.#host.log();
    const added = log.slice(this.#logLength);
    this.#logLength = log.length;
    return added.split('\n').filter((line) => line.startsWith('{"level":50') || /^\s+at |^skerryd:/.test(line));
  }
}

/** What may be found after it. */
function allowedAfter(step: Step, before: World, { outcome, error }: Outcome, problems: string[]): World[] {
  if (outcome === 'cut off') return [step.after, before, ...(step.between ?? [])];
  if (outcome === 'done') {
    if (step.refusal !== undefined) problems.push(`it was done, and should be refused: ${step.refusal}`);
    return [step.after];
  }
  if (error?.code !== step.refusal) {
    problems.push(`it was refused (${error?.code}: ${error?.message}), and should ${step.refusal ?? 'be done'}`);
  }
  return [before];
}

function endOf({ status: { endsAt = '' } }: Fault): number {
  return Date.parse(endsAt);
}

/** Waits until there is nothing of it. */
async function until(look: () => Promise<string[]>, timeoutMs: number): Promise<string[]> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const found = await look();
    if (found.length === 0 || performance.now() > deadline) return found;
    await sleep(POLL_MS);
  }
}

/** Below those that the kernel gives away by itself (ip_local_port_range), so that nobody else comes to have one. */
async function freePorts(count: number): Promise<number[]> {
  const found: number[] = [];
  for (let port = 20_000 + ((process.pid * 13) % 10_000); found.length < count; port += 1) {
    const server = createServer();
    const isFree = await new Promise<boolean>((resolve) => {
      server.once('error', () => resolve(false));
      server.listen(port, '127.0.0.1', () => resolve(true));
    });
    if (!isFree) continue;
    await new Promise((resolve) => server.close(resolve));
    found.push(port);
  }
  return found;
}
