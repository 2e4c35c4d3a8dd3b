import { setTimeout as sleep } from 'node:timers/promises';
import type { Vm } from '@skerry/api';
import type { TestHost } from '@skerry/testkit';
import { NODE_ACTIONS, VM_ACTIONS, type Action, type NodeModelState, type VmModelState } from './actions.ts';
import { Random } from './random.ts';

/**
 * Rounds of: something is asked, the daemon is killed at a random moment of it, and started again. Then everything has to
 * come to rest in a state that the request allows, what was not asked for is untouched, and nothing is left over.
 */

const SINGLE_VMS = ['s0', 's1', 's2'];
const NODE = 'n';
/** Runs all the time and is never asked anything: its process must be the same in the end. */
const WITNESS = 'witness';
const MARKER = '/root/marker';
const REST_TIMEOUT_MS = 60_000;
const POLL_MS = 50;
/** A share of the daemons is killed again while it takes up what the last one left. */
const SECOND_KILL_CHANCE = 0.25;
const SECOND_KILL_MS = 600;

export interface RoundReport {
  readonly round: number;
  /** 'start s0 + up n' */
  readonly asked: string;
  readonly killedAfterMs: number;
  readonly kills: number;
  /** Where it came to rest: 's0=running ...'. */
  readonly found: string;
  readonly adoptionMs: number;
  readonly restMs: number;
  /** What is wrong; none: the round has passed. */
  readonly problems: readonly string[];
}

interface Asked {
  readonly subject: string;
  readonly action: Action<string>;
}

interface Known {
  readonly state: string;
  /** 'PID STARTTIME' of each of its processes. */
  readonly processes: string;
}

export class KillRounds {
  readonly #host: TestHost;
  readonly #random: Random;
  #known = new Map<string, Known>();
  /** VMs whose disk holds a marker. */
  readonly #marked = new Map<string, string>();
  #round = 0;
  #logLength = 0;

  constructor(host: TestHost, seed: number) {
    this.#host = host;
    this.#random = new Random(seed);
  }

  /** From now on there is a VM that runs through all rounds. */
  async addWitness(): Promise<void> {
    await this.#host.client.run('vm.create', { body: { name: WITNESS, memoryMib: 64, start: true } });
    await this.#mark(await this.#vms(), []);
    this.#known = await this.#observe();
  }

  async round(): Promise<RoundReport> {
    this.#round += 1;
    const asked = this.#choose();
    const usualMs = Math.max(...asked.map(({ action }) => action.usualMs));
    const killedAfterMs = Math.round(this.#random.next() * usualMs * 1.1);
    const { client } = this.#host;
    const requests = asked.map(({ subject, action }) => action.ask(client, subject).catch(() => undefined));
    await sleep(killedAfterMs);
    await this.#host.kill9();
    await Promise.all(requests);

    let kills = 1;
    if (this.#random.chance(SECOND_KILL_CHANCE)) {
      await this.#startAndKill(this.#random.below(SECOND_KILL_MS));
      kills += 1;
    }
    const startedMs = performance.now();
    await this.#host.start();
    const problems: string[] = [];
    const found = await this.#rest(problems);
    const restMs = Math.round(performance.now() - startedMs);
    this.#judge(asked, found, problems);
    await this.#mark(await this.#vms(), problems);
    problems.push(...(await this.#host.leftovers({ idleNetwork: false })).map((trace) => `left over: ${trace}`));
    problems.push(...(await this.#complaints()));
    this.#known = await this.#observe();
    return {
      round: this.#round,
      asked: asked.map(({ subject, action }) => `${action.name} ${subject}`).join(' + '),
      killedAfterMs,
      kills,
      found: [...this.#known].map(([subject, { state }]) => `${subject}=${state}`).join(' '),
      adoptionMs: (await this.#host.client.call('daemon.info')).adoption.ms,
      restMs,
      problems,
    };
  }

  /** One or two subjects, each with something that is possible in its state. */
  #choose(): Asked[] {
    const subjects = [...SINGLE_VMS, NODE];
    const first = this.#random.pick([...subjects, NODE]);
    const others = subjects.filter((subject) => subject !== first);
    const chosen = this.#random.chance(0.4) ? [first, this.#random.pick(others)] : [first];
    return chosen.map((subject) => {
      const actions = (subject === NODE ? NODE_ACTIONS : VM_ACTIONS) as ReadonlyArray<Action<string>>;
      const state = this.#stateOf(subject);
      return { subject, action: this.#random.pick(actions.filter((action) => action.from.includes(state))) };
    });
  }

  async #startAndKill(afterMs: number): Promise<void> {
    // It may be killed before it listens: then it does not answer, which is what is wanted.
    const starting = this.#host.start().catch(() => undefined);
    await sleep(afterMs);
    await this.#host.kill9();
    await starting;
  }

  /** Waits until nothing is on its way any more. */
  async #rest(problems: string[]): Promise<Map<string, Known>> {
    const deadline = performance.now() + REST_TIMEOUT_MS;
    for (;;) {
      const [found, unsettled] = await this.#look();
      if (unsettled.length === 0) return found;
      if (performance.now() > deadline) {
        problems.push(`not at rest after ${REST_TIMEOUT_MS} ms: ${unsettled.join(', ')}`);
        return found;
      }
      await sleep(POLL_MS);
    }
  }

  async #observe(): Promise<Map<string, Known>> {
    return (await this.#look())[0];
  }

  async #look(): Promise<[Map<string, Known>, string[]]> {
    const found = new Map<string, Known>();
    const unsettled: string[] = [];
    const vms = await this.#vms();
    for (const { name, spec, status } of vms) {
      const settled =
        status.state === (spec.power === 'stopped' ? 'stopped' : spec.power) || status.state === 'crashed';
      const answers = status.state !== 'running' || status.agent?.connected === true;
      if (!settled || !answers) unsettled.push(`${name} is ${status.state}, wanted ${spec.power}`);
      if (!name.includes('/')) found.set(name, { state: status.state, processes: processOf(status) });
    }
    for (const { name, spec, status } of await this.#host.client.call('node.list')) {
      if (status.state !== spec.power) unsettled.push(`the node ${name} is ${status.state}, wanted ${spec.power}`);
      const members = vms.filter((vm) => vm.name.startsWith(`${name}/`));
      found.set(name, { state: status.state, processes: members.map((vm) => processOf(vm.status)).join(', ') });
    }
    return [found, unsettled];
  }

  #judge(asked: readonly Asked[], found: ReadonlyMap<string, Known>, problems: string[]): void {
    const expected = new Set([...this.#known.keys(), ...asked.map(({ subject }) => subject)]);
    for (const subject of found.keys()) if (!expected.has(subject)) problems.push(`${subject} came from nowhere`);
    for (const subject of expected) {
      const action = asked.find((each) => each.subject === subject)?.action;
      const before = this.#known.get(subject);
      const after = found.get(subject);
      const state = after?.state ?? 'absent';
      const allowed = [before?.state ?? 'absent', ...(action?.to ?? [])];
      if (!allowed.includes(state)) problems.push(`${subject} is ${state}, not ${allowed.join(' or ')}`);
      if (state !== before?.state || action?.restarts === true) continue;
      if (before.processes !== after?.processes)
        problems.push(`${subject} was restarted: ${before.processes} -> ${after?.processes}`);
    }
  }

  /** Each VM that runs answers, and its disk still holds what was written to it once. */
  async #mark(vms: readonly Vm[], problems: string[]): Promise<void> {
    const ids = new Set(vms.map((vm) => vm.id));
    for (const id of this.#marked.keys()) if (!ids.has(id)) this.#marked.delete(id);
    for (const { id, name, status } of vms) {
      if (status.state !== 'running') continue;
      const process = processOf(status);
      try {
        if (!this.#marked.has(id)) {
          await this.#host.client.exec(id, `echo ${id} > ${MARKER} && sync`);
        } else if (this.#marked.get(id) !== process || name === WITNESS) {
          const { stdout } = await this.#host.client.exec(id, ['cat', MARKER]);
          if (stdout !== `${id}\n`) problems.push(`${name} has lost its disk's content`);
        }
        this.#marked.set(id, process);
      } catch (error) {
        problems.push(`${name} does not answer: ${(error as Error).message}`);
      }
    }
  }

  /** Errors that the daemon itself holds for bugs. */
  async #complaints(): Promise<string[]> {
    const log = await this.#host.log();
    const added = log.slice(this.#logLength);
    this.#logLength = log.length;
    return added.split('\n').filter((line) => line.startsWith('{"level":50') || /^\s+at |^skerryd:/.test(line));
  }

  async #vms(): Promise<Vm[]> {
    return await this.#host.client.call('vm.list');
  }

  #stateOf(subject: string): VmModelState | NodeModelState {
    return (this.#known.get(subject)?.state ?? 'absent') as VmModelState | NodeModelState;
  }
}

function processOf({ process }: Vm['status']): string {
  return process === undefined ? '' : `${process.pid} ${process.startTime}`;
}
