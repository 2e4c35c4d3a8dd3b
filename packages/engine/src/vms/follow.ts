import { SkerryError, type Vm, type VmHealth, type VmSpec, type VmStatus } from '@skerry/api';
import type { EventLog } from '../events/index.ts';
import { refOf, type Resources } from '../store/index.ts';
import type { AgentClient } from './agent/index.ts';
import { mountAgain } from './guest-shares.ts';
import { AGENT_TIMEOUT_MS, agentStatus, type CommandEnd, type LiveVm, type LiveVmOptions } from './live.ts';
import { withHealth } from './model.ts';
import { agentKeepsCommand } from './restart-plan.ts';

/** Keeps the status true to what the guests of running VMs say: their agents come and go, their health changes. */

export interface FollowPorts {
  readonly vms: Resources<VmSpec, VmStatus>;
  readonly events: EventLog;
  readonly agentTimeoutMs?: number | undefined;
  readonly onError: (error: SkerryError, what: string) => void;
}

const AGENT_LOST_GRACE_MS = 1000;

export class AgentFollower {
  readonly #ports: FollowPorts;
  readonly #isHeld: (id: string, live: LiveVm) => boolean;
  readonly #isEnding: (id: string) => boolean;
  readonly #onCommandEnd: (id: string, live: LiveVm, end: CommandEnd) => void;

  /** @param isHeld whether it is still the VM's, and lives */
  constructor(
    ports: FollowPorts,
    isHeld: (id: string, live: LiveVm) => boolean,
    isEnding: (id: string) => boolean,
    onCommandEnd: (id: string, live: LiveVm, end: CommandEnd) => void,
  ) {
    this.#ports = ports;
    this.#isHeld = isHeld;
    this.#isEnding = isEnding;
    this.#onCommandEnd = onCommandEnd;
  }

  optionsFor(id: string): LiveVmOptions {
    return {
      agentTimeoutMs: this.#ports.agentTimeoutMs ?? AGENT_TIMEOUT_MS,
      onHealth: (health, message) => void this.#setHealth(id, health, message),
      onAgentLost: (live) => void this.#agentLost(id, live),
      onCommandEnd: (live, end) => this.#onCommandEnd(id, live, end),
    };
  }

  /** The agent's connection came back, or never was there: a busy guest may take its time. */
  async reconnect(id: string, live: LiveVm): Promise<void> {
    if (!this.#isHeld(id, live)) return;
    try {
      const agent = await live.connectAgent(undefined);
      if (agent.hello.frozen) await this.#letGoOn(id, agent);
      const vm = await setStatus(this.#ports.vms, id, (status) => ({
        ...status,
        agent: agentStatus(agent.hello),
      }));
      if (vm === undefined) return;
      if (vm.spec.power !== 'paused') live.watchHealth(vm.spec.health);
      if (agentKeepsCommand(vm.spec)) return;
      // It may have ended while nobody listened.
      const { state, ...end } = await agent.service.status();
      if (state === 'exited') this.#onCommandEnd(id, live, end);
    } catch (error) {
      if (!this.#isHeld(id, live)) return;
      this.#ports.onError(SkerryError.from(error), `agent of ${id}`);
      this.#whenItGoesOn(id, live);
    }
  }

  /** Nobody answers in a guest whose CPUs stand still. */
  #whenItGoesOn(id: string, live: LiveVm): void {
    if (!live.machine.isFrozen() && live.machine.state() !== 'paused') return;
    const stop = live.machine.onEvent(({ kind }) => {
      if (kind !== 'resumed') return;
      stop();
      void this.reconnect(id, live);
    });
  }

  /** After a daemon that died while it wrote the memory, with what was shared unmounted. */
  async #letGoOn(id: string, agent: AgentClient): Promise<void> {
    const vm = await this.#ports.vms.find(id);
    await mountAgain(agent, vm?.status.shares);
    await agent.thaw();
  }

  async #agentLost(id: string, live: LiveVm): Promise<void> {
    // A guest that goes down takes its agent first: wait a little for the end of its process.
    const soon = new Promise((resolve) => setTimeout(resolve, AGENT_LOST_GRACE_MS).unref());
    await Promise.race([live.machine.exited, soon]);
    if (!this.#isHeld(id, live) || this.#isEnding(id)) return;
    await setStatus(this.#ports.vms, id, (status) => {
      const { agent, ...rest } = status;
      return agent === undefined ? status : { ...rest, agent: { ...agent, connected: false } };
    });
    await this.reconnect(id, live);
  }

  async #setHealth(id: string, health: VmHealth, message: string | undefined): Promise<void> {
    const vm = await setStatus(this.#ports.vms, id, (status) => withHealth(status, health, message, new Date()));
    if (vm === undefined || health === 'starting') return;
    const text = message === undefined ? `${vm.name} is ${health}` : `${vm.name} is ${health}: ${message}`;
    const { start } = vm.status;
    const data = start === undefined ? {} : { data: { start } };
    void this.#ports.events.emit({ type: `vm.${health}`, subject: refOf(vm), message: text, ...data });
  }
}

/** @returns undefined when it was deleted meanwhile */
export async function setStatus(
  vms: Resources<VmSpec, VmStatus>,
  id: string,
  change: (status: VmStatus) => VmStatus,
): Promise<Vm | undefined> {
  try {
    return (await vms.update(id, ({ status }) => ({ status: change(status) }))) as Vm;
  } catch (error) {
    if (SkerryError.from(error).code === 'not-found') return undefined;
    throw error;
  }
}
