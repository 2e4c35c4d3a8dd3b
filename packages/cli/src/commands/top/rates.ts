import type { HostUsage, VmUsage } from '@skerry/api/base';

/** What is used per second, from two looks at counters. */

/** Rates are undefined as long as there is one look only. */
export interface VmRates extends Pick<
  VmUsage,
  'id' | 'name' | 'title' | 'state' | 'pssBytes' | 'privateBytes' | 'sharedBytes'
> {
  /** 100 is one CPU of the host. */
  readonly cpuPercent: number | undefined;
  readonly diskReadBytesPerS: number | undefined;
  readonly diskWrittenBytesPerS: number | undefined;
  readonly receivedBytesPerS: number | undefined;
  readonly sentBytesPerS: number | undefined;
}

export interface HostRates extends Pick<
  HostUsage,
  'cpus' | 'memoryTotalBytes' | 'memoryAvailableBytes' | 'templateBytes' | 'pools'
> {
  /** Between the two looks. */
  readonly overMs: number | undefined;
  /** 100 is all CPUs of the host. */
  readonly cpuPercent: number | undefined;
  readonly vms: readonly VmRates[];
}

type Counter = 'cpuMs' | 'diskReadBytes' | 'diskWrittenBytes' | 'receivedBytes' | 'sentBytes';

export function ratesOf(before: HostUsage | undefined, now: HostUsage): HostRates {
  const elapsedMs = before === undefined ? 0 : now.atMs - before.atMs;
  const overMs = elapsedMs > 0 ? elapsedMs : undefined;
  const earlier = new Map(before?.vms.map((vm) => [vm.id, vm]));
  const { cpus, memoryTotalBytes, memoryAvailableBytes, templateBytes, pools } = now;
  const busyMs = before === undefined ? 0 : now.cpuBusyMs - before.cpuBusyMs;
  return {
    overMs,
    cpus,
    cpuPercent: overMs === undefined || cpus === 0 ? undefined : atMost(100, (busyMs / overMs / cpus) * 100),
    memoryTotalBytes,
    memoryAvailableBytes,
    templateBytes,
    pools,
    vms: now.vms.map((vm) => vmRates(earlier.get(vm.id), vm, overMs)),
  };
}

function vmRates(before: VmUsage | undefined, now: VmUsage, overMs: number | undefined): VmRates {
  const perMs = (counter: Counter): number | undefined => {
    if (before === undefined || overMs === undefined) return undefined;
    // A counter that went back began anew, with its process or with the switch: what it shows came since then.
    const grown = now[counter] >= before[counter] ? now[counter] - before[counter] : now[counter];
    return grown / overMs;
  };
  const times = (factor: number, value: number | undefined): number | undefined =>
    value === undefined ? undefined : value * factor;
  const { id, name, title, state, pssBytes, privateBytes, sharedBytes } = now;
  return {
    id,
    name,
    ...(title === undefined ? {} : { title }),
    state,
    cpuPercent: times(100, perMs('cpuMs')),
    pssBytes,
    privateBytes,
    sharedBytes,
    diskReadBytesPerS: times(1000, perMs('diskReadBytes')),
    diskWrittenBytesPerS: times(1000, perMs('diskWrittenBytes')),
    receivedBytesPerS: times(1000, perMs('receivedBytes')),
    sentBytesPerS: times(1000, perMs('sentBytes')),
  };
}

/** Ticks are counted when they end, so a short look can see more of them than there was time. */
function atMost(limit: number, value: number): number {
  return Math.min(limit, Math.max(0, value));
}

export type SortKey = 'cpu' | 'memory' | 'network' | 'disk' | 'name';

const AMOUNTS: Readonly<Record<Exclude<SortKey, 'name'>, (vm: VmRates) => number>> = {
  cpu: ({ cpuPercent }) => cpuPercent ?? 0,
  memory: ({ pssBytes }) => pssBytes,
  network: ({ receivedBytesPerS, sentBytesPerS }) => (receivedBytesPerS ?? 0) + (sentBytesPerS ?? 0),
  disk: ({ diskReadBytesPerS, diskWrittenBytesPerS }) => (diskReadBytesPerS ?? 0) + (diskWrittenBytesPerS ?? 0),
};

/** The most first; equals by name, so that lines stay where they are. */
export function sorted(vms: readonly VmRates[], key: SortKey): VmRates[] {
  const byName = (a: VmRates, b: VmRates): number => a.name.localeCompare(b.name, 'en', { numeric: true });
  if (key === 'name') return vms.toSorted(byName);
  const amount = AMOUNTS[key];
  return vms.toSorted((a, b) => amount(b) - amount(a) || byName(a, b));
}
