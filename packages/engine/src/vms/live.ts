import type { HealthCheck, StartReport, Vm, VmHealth } from '@skerry/api';
import { SkerryError } from '@skerry/api';
import { Readable } from 'node:stream';
import type { Driver, Machine, MachineExit } from '../hypervisors/index.ts';
import { connectAgent, type AgentClient } from './agent/index.ts';
import { ensureDisk } from './disks.ts';
import { watchHealth, type HealthWatch } from './health.ts';
import { identityOf, vmLaunch, type LaunchDirs, type LaunchHost } from './launch.ts';
import type { LiveFacts } from './model.ts';
import type { BootFiles, VmNetworks, WorkOptions } from './ports.ts';
import { Waterfall } from './waterfall.ts';

/** A guest that has not answered by then never will. Under emulation with many VMs booting at once it can take long. */
export const AGENT_TIMEOUT_MS = 90_000;

const AGENT_SOON_MS = 10_000;

export interface LiveVmOptions {
  /** How long a guest may take to answer. */
  readonly agentTimeoutMs: number;
  readonly onHealth: (health: VmHealth, message: string | undefined) => void;
  readonly onAgentLost: (live: LiveVm) => void;
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
      agent: hello === undefined ? undefined : { connected: true, version: hello.version, kernel: hello.kernel },
      warnings,
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
        if (notice.kind === 'poweroff' || notice.kind === 'reboot') this.farewell = notice.kind;
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

export interface StartPorts {
  readonly driver: Driver;
  readonly networks: VmNetworks;
}

export interface StartInput {
  readonly vm: Vm;
  readonly boot: BootFiles;
  readonly host: LaunchHost;
  readonly dirs: LaunchDirs;
  readonly waterfall: Waterfall;
}

/** Starts a VM and gives it its identity; when it throws, nothing is left of it. */
export async function startVm(
  { driver, networks }: StartPorts,
  { vm, boot, host, dirs, waterfall }: StartInput,
  liveOptions: LiveVmOptions,
  { signal, onProgress }: WorkOptions,
): Promise<{ live: LiveVm; report: StartReport }> {
  await using undo = new AsyncDisposableStack();
  await ensureDisk(dirs.dir, boot.image, vm.spec.diskMib, signal);
  const nics = await networks.nicsOf(vm);
  waterfall.mark('prepare');

  const launch = vmLaunch(vm, boot, nics, host, dirs);
  undo.defer(() => networks.detach(vm.id));
  const machine = await driver.start(launch, {
    ...(signal === undefined ? {} : { signal }),
    onPhase: (name) => waterfall.mark(name),
  });
  // The switch connects while the guest boots.
  const attached = networks.attach(vm, dirs.runtimeDir);
  attached.catch(() => undefined);

  const live = new LiveVm(machine, host.uid, liveOptions);
  // In this order: a machine that was let go of does not tell of its end.
  undo.defer(async () => {
    await machine.kill();
    live.detach();
  });
  onProgress?.('booting');
  const agent = await live.connectAgent(signal);
  waterfall.mark('boot');
  await agent.identify(identityOf(vm, nics, boot.image.env));
  waterfall.mark('identify');
  await attached;
  waterfall.mark('network');
  await putFiles(agent, vm);
  const command = vm.spec.command ?? boot.image.command;
  if (command !== undefined) await agent.service.set({ argv: [...command], restart: 'on-failure' });
  if (vm.spec.files.length > 0 || command !== undefined) waterfall.mark('command');
  undo.move();
  const report = waterfall.report({
    how: 'cold',
    kernel: boot.kernel.which,
    accelerator: host.accelerator,
    machine: boot.kernel.machine,
  });
  return { live, report };
}

async function putFiles(agent: AgentClient, vm: Vm): Promise<void> {
  for (const file of vm.spec.files) {
    const content = Readable.from([Buffer.from(file.contentBase64, 'base64')]);
    await agent.put(file.path, content, { mode: file.mode, makeParents: true });
  }
}

function endedTooSoon(exit: MachineExit): SkerryError {
  return new SkerryError('failed', `The VM ended before its agent answered: ${exit.reason}`, {
    remedy: 'See `skerry console` for its last words; more memory (`--memory`) helps a guest that ran out of it.',
    details: { exit },
  });
}
