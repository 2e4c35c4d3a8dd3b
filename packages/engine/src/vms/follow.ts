import { SkerryError, type Vm, type VmHealth, type VmSpec, type VmStatus } from '@skerry/api';
import type { EventLog } from '../events/index.ts';
import { refOf, type Resources } from '../store/index.ts';
import { AGENT_TIMEOUT_MS, type LiveVm, type LiveVmOptions } from './live.ts';
import { withHealth } from './model.ts';

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

  /** @param isHeld whether it is still the VM's, and lives */
  constructor(ports: FollowPorts, isHeld: (id: string, live: LiveVm) => boolean, isEnding: (id: string) => boolean) {
    this.#ports = ports;
    this.#isHeld = isHeld;
    this.#isEnding = isEnding;
  }

  optionsFor(id: string): LiveVmOptions {
    return {
      agentTimeoutMs: this.#ports.agentTimeoutMs ?? AGENT_TIMEOUT_MS,
      onHealth: (health, message) => void this.#setHealth(id, health, message),
      onAgentLost: (live) => void this.#agentLost(id, live),
    };
  }

  /** The agent's connection came back, or never was there: a busy guest may take its time. */
  async reconnect(id: string, live: LiveVm): Promise<void> {
    if (!this.#isHeld(id, live)) return;
    try {
      const agent = await live.connectAgent(undefined);
      // By a daemon that died over a fork of it.
      if (agent.hello.frozen) await agent.thaw();
      const vm = await setStatus(this.#ports.vms, id, (status) => ({
        ...status,
        agent: { connected: true, version: agent.hello.version, kernel: agent.hello.kernel },
      }));
      if (vm !== undefined && vm.spec.power !== 'paused') live.watchHealth(vm.spec.health);
    } catch (error) {
      if (this.#isHeld(id, live)) this.#ports.onError(SkerryError.from(error), `agent of ${id}`);
    }
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
    const vm = await setStatus(this.#ports.vms, id, (status) => withHealth(status, health, message));
    if (vm === undefined || health === 'starting') return;
    const text = message === undefined ? `${vm.name} is ${health}` : `${vm.name} is ${health}: ${message}`;
    void this.#ports.events.emit({ type: `vm.${health}`, subject: refOf(vm), message: text });
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
