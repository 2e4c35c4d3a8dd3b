import { readFile } from 'node:fs/promises';
import type { HostUsage, Pool, Vm, VmUsage } from '@skerry/api';
import type { SwitchStats } from '@skerry/switch';
import { parseHostCpu, parseHostMemory } from './proc-model.ts';
import { processUsage } from './process.ts';

/** What VMs use of this host, looked up when somebody asks and never else. */

export interface UsagePorts {
  readonly vms: () => Promise<readonly Vm[]>;
  /** undefined when no switch runs. */
  readonly switchStats: () => Promise<SwitchStats | undefined>;
  readonly templateBytes: () => Promise<number>;
  readonly pools: () => Promise<readonly Pool[]>;
}

/**
 * Processes looked at at once. Reading smaps_rollup walks all page tables of a VM, some milliseconds in the kernel, on one
 * of libuv's four threads: two are left to the rest of the daemon.
 */
const CONCURRENCY = 2;

export class UsageService {
  readonly #ports: UsagePorts;
  #looking: Promise<HostUsage> | undefined;

  constructor(ports: UsagePorts) {
    this.#ports = ports;
  }

  /**
   * Counters as of now, of every VM that has a process. Who asks while a look is under way gets that one. Disk counters are
   * 0 where the daemon may not read them (root without CAP_SYS_PTRACE); network counters are 0 while no switch runs.
   */
  usage(): Promise<HostUsage> {
    this.#looking ??= this.#look().finally(() => (this.#looking = undefined));
    return this.#looking;
  }

  async #look(): Promise<HostUsage> {
    const [vms, traffic, templateBytes, pools] = await Promise.all([
      this.#ports.vms(),
      // A switch that does not answer is told elsewhere: the rest is known all the same.
      this.#ports.switchStats().then(trafficOf, () => trafficOf(undefined)),
      this.#ports.templateBytes(),
      this.#ports.pools(),
    ]);
    const [stat, meminfo] = await Promise.all([readFile('/proc/stat', 'latin1'), readFile('/proc/meminfo', 'latin1')]);
    const atMs = monotonicMs();
    const { cpus, busyMs } = parseHostCpu(stat);
    const memory = parseHostMemory(meminfo);
    const used = await mapBounded(vms, CONCURRENCY, (vm) => vmUsage(vm, traffic));
    return {
      atMs,
      cpus,
      cpuBusyMs: busyMs,
      memoryTotalBytes: memory.totalBytes,
      memoryAvailableBytes: memory.availableBytes,
      templateBytes,
      pools: pools.map(({ image, size, ready }) => ({ image, size, ready })),
      vms: used.filter((each) => each !== undefined),
    };
  }
}

interface Traffic {
  readonly receivedBytes: number;
  readonly sentBytes: number;
}

async function vmUsage(vm: Vm, traffic: ReadonlyMap<string, Traffic>): Promise<VmUsage | undefined> {
  const { process, state } = vm.status;
  if (process === undefined) return undefined;
  const usage = await processUsage(process.pid, process.startTime);
  if (usage === undefined) return undefined;
  return {
    id: vm.id,
    name: vm.name,
    ...(vm.title === undefined ? {} : { title: vm.title }),
    state,
    ...usage,
    ...(traffic.get(vm.id) ?? { receivedBytes: 0, sentBytes: 0 }),
  };
}

/** By VM: all of its NICs. A port's id is VM/INDEX; what the switch receives from it, the VM has sent. */
export function trafficOf(stats: SwitchStats | undefined): Map<string, Traffic> {
  const traffic = new Map<string, Traffic>();
  for (const port of (stats?.segments ?? []).flatMap(({ ports }) => ports)) {
    const vm = port.id.slice(0, port.id.lastIndexOf('/'));
    const { receivedBytes, sentBytes } = traffic.get(vm) ?? { receivedBytes: 0, sentBytes: 0 };
    traffic.set(vm, {
      receivedBytes: receivedBytes + port.sentBytes,
      sentBytes: sentBytes + port.receivedBytes,
    });
  }
  return traffic;
}

/** Since the boot, so that looks of two daemons can be compared: performance.now() begins with the process. */
function monotonicMs(): number {
  return Number(process.hrtime.bigint() / 1000n) / 1000;
}

async function mapBounded<T, R>(items: readonly T[], limit: number, work: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  const entries = items.entries();
  // All workers take from one iterator: who is done takes the next.
  const worker = async (): Promise<void> => {
    for (const [index, item] of entries) results[index] = await work(item);
  };
  await Promise.all(Array.from({ length: Math.min(limit, items.length) }, worker));
  return results;
}
