import type { HealthCheck, ShareStatus, VmHealth, VmStatus } from '@skerry/api';
import { SkerryError } from '@skerry/api';
import type { Machine, MachineExit } from '../hypervisors/index.ts';
import { connectAgent, type AgentClient, type AgentHello } from './agent/index.ts';
import { watchHealth, type HealthWatch } from './health.ts';
import type { LiveFacts } from './model.ts';
import { guestGraceMs } from './restart-plan.ts';

/** A guest that has not answered by then never will. Under emulation with many VMs booting at once it can take long. */
export const AGENT_TIMEOUT_MS = 90_000;

const AGENT_SOON_MS = 10_000;

export interface CommandEnd {
  readonly exitCode?: number | null | undefined;
  readonly signal?: string | null | undefined;
}

export interface LiveVmOptions {
  /** How long a guest may take to answer. */
  readonly agentTimeoutMs: number;
  readonly onHealth: (health: VmHealth, message: string | undefined) => void;
  readonly onAgentLost: (live: LiveVm) => void;
  /** The agent does not start it again. */
  readonly onCommandEnd: (live: LiveVm, end: CommandEnd) => void;
}

/** One running VM: its process, the connection to its agent, its health check. All of it can be dropped and found again. */
export class LiveVm {
  readonly machine: Machine;
  readonly uid: number | undefined;
  #agent: AgentClient | undefined;
  #health: HealthWatch | undefined;
  /** Who waits for the agent. */
  readonly #waiting = new Set<() => void>();
  /** What the guest said before it went away. */
  farewell: 'poweroff' | 'reboot' | undefined;
  /** What was mounted when it came up; undefined of one that was adopted. */
  shares: ShareStatus[] | undefined;
  readonly #options: LiveVmOptions;

  constructor(machine: Machine, uid: number | undefined, options: LiveVmOptions) {
    this.machine = machine;
    this.uid = uid;
    this.#options = options;
  }

  /** @throws SkerryError `unavailable` */
  get agent(): AgentClient {
    if (this.#agent !== undefined) return this.#agent;
    throw new SkerryError('unavailable', 'The agent in the guest does not answer', {
      remedy: 'Look at `skerry console`; if the guest hangs, `skerry restart` it.',
    });
  }

  /**
   * The agent, waiting a moment for one that is being connected again: after a restart of the daemon a VM is adopted
   * before its agent has answered.
   * @throws SkerryError `unavailable`
   */
  async agentSoon(): Promise<AgentClient> {
    if (this.#agent === undefined) {
      const connected = new Promise<void>((resolve) => this.#waiting.add(resolve));
      const late = new Promise<void>((resolve) => setTimeout(resolve, AGENT_SOON_MS).unref());
      await Promise.race([connected, late, this.machine.exited]);
    }
    return this.agent;
  }

  get facts(): LiveFacts {
    const { pid, startTime, warnings } = this.machine;
    const hello = this.#agent?.hello;
    return {
      process: { pid, startTime, ...(this.uid === undefined ? {} : { uid: this.uid }) },
      agent: hello === undefined ? undefined : agentStatus(hello),
      warnings,
      ...(this.shares === undefined ? {} : { shares: this.shares }),
    };
  }

  async connectAgent(signal: AbortSignal | undefined): Promise<AgentClient> {
    const given = new AbortController();
    const connecting = connectAgent(this.machine.sockets.agent, {
      signal: signal === undefined ? given.signal : AbortSignal.any([given.signal, signal]),
      timeoutMs: this.#options.agentTimeoutMs,
    });
    const ended = this.machine.exited.then((exit) => Promise.reject(endedTooSoon(exit)));
    try {
      const agent = await Promise.race([connecting, ended]);
      this.#agent = agent;
      for (const tell of this.#waiting) tell();
      this.#waiting.clear();
      agent.on('notify', (notice) => {
        if (notice.kind !== 'service-exit') this.farewell = notice.kind;
        else if (!notice.willRestart) this.#options.onCommandEnd(this, notice);
      });
      agent.on('close', () => {
        this.#agent = undefined;
        this.#health?.stop();
        this.#options.onAgentLost(this);
      });
      return agent;
    } catch (error) {
      given.abort();
      connecting.catch(() => undefined);
      throw error;
    } finally {
      ended.catch(() => undefined);
    }
  }

  /**
   * Through its agent, for which a daemon that has just adopted the VM may still be waiting.
   * @returns false when it has not ended within that time
   */
  async shutDown(timeoutMs: number): Promise<boolean> {
    if (this.machine.state() === 'paused') await this.machine.resume();
    const deadline = new Promise<false>((resolve) => setTimeout(resolve, timeoutMs, false).unref());
    const asked = this.agentSoon().then(async (agent) => {
      await agent.powerOff('poweroff', { graceMs: guestGraceMs(timeoutMs) }).catch(() => undefined);
      await this.machine.exited;
      return true;
    });
    return await Promise.race([asked.catch(() => false), deadline]);
  }

  watchHealth(check: HealthCheck | undefined): void {
    this.#health?.stop();
    if (check !== undefined && this.#agent !== undefined)
      this.#health = watchHealth(this.#agent, check, this.#options.onHealth);
  }

  /** Lets go of it; the VM goes on. */
  detach(): void {
    this.#health?.stop();
    const agent = this.#agent;
    this.#agent = undefined;
    void agent?.[Symbol.asyncDispose]();
    this.machine.detach();
  }
}

/** @throws SkerryError `wrong-state`: a fault keeps it from what has to be done in the guest first */
export function assertNotFrozen(name: string, { machine }: LiveVm): void {
  if (!machine.isFrozen()) return;
  throw new SkerryError('wrong-state', `${name} is frozen by a fault`, {
    remedy: `Wait until it goes on, or let it: \`skerry fault clear ${name}\`.`,
  });
}

/** A connected agent, as the VM's status shows it. */
export function agentStatus({ version, kernel, protocol }: AgentHello): NonNullable<VmStatus['agent']> {
  return { connected: true, version, kernel, protocol };
}

function endedTooSoon(exit: MachineExit): SkerryError {
  return new SkerryError('failed', `The VM ended before its agent answered: ${exit.reason}`, {
    remedy: 'See `skerry console` for its last words; more memory (`--memory`) helps a guest that ran out of it.',
    details: { exit },
  });
}
