/** What files of /proc say, from their text. The meaning of each field: proc(5). Pure. */

/** Clock ticks per second in what /proc tells user space: USER_HZ, 100 on every architecture that QEMU runs guests on. */
const TICKS_PER_S = 100;
const MS_PER_TICK = 1000 / TICKS_PER_S;
const KIB = 1024;

export interface ProcessStat {
  /** Z and X are processes that have ended. */
  readonly state: string;
  /** In ticks since the boot: with the pid it names one process. */
  readonly startTime: string;
  /** Of all threads, in user and kernel mode; a KVM guest's is part of it. */
  readonly cpuMs: number;
}

/** /proc/PID/stat. @returns undefined when the text is no such file */
export function parseProcessStat(text: string): ProcessStat | undefined {
  // Field 2, the name, may hold spaces and parentheses: what follows its last ')' starts with field 3.
  const end = text.lastIndexOf(')');
  const fields = end === -1 ? [] : text.slice(end + 2).split(' ');
  const [state, startTime] = [fields[0], fields[19]];
  const ticks = Number(fields[11]) + Number(fields[12]);
  if (state === undefined || startTime === undefined || !Number.isFinite(ticks)) return undefined;
  return { state, startTime, cpuMs: ticks * MS_PER_TICK };
}

export interface ProcessMemory {
  readonly pssBytes: number;
  readonly privateBytes: number;
  readonly sharedBytes: number;
}

/** /proc/PID/smaps_rollup. @returns undefined when the text is no such file */
export function parseSmapsRollup(text: string): ProcessMemory | undefined {
  const kib = kibFields(text);
  const pss = kib.get('Pss');
  if (pss === undefined) return undefined;
  const sum = (...names: string[]): number => names.reduce((total, name) => total + (kib.get(name) ?? 0), 0) * KIB;
  return {
    pssBytes: pss * KIB,
    privateBytes: sum('Private_Clean', 'Private_Dirty', 'Private_Hugetlb'),
    sharedBytes: sum('Shared_Clean', 'Shared_Dirty', 'Shared_Hugetlb'),
  };
}

/**
 * /proc/PID/statm, for who may not read smaps_rollup: that needs the right to trace the process, which root in a container
 * often lacks. It does not say how many share a page, so nothing is taken off for that: `pssBytes` is an upper bound.
 */
export function parseStatm(text: string, pageBytes: number): ProcessMemory | undefined {
  const [, resident, shared] = text.split(' ').map(Number);
  if (resident === undefined || shared === undefined || !Number.isFinite(resident + shared)) return undefined;
  const sharedBytes = Math.min(resident, shared) * pageBytes;
  const pssBytes = resident * pageBytes;
  return { pssBytes, sharedBytes, privateBytes: pssBytes - sharedBytes };
}

export interface ProcessIo {
  readonly diskReadBytes: number;
  readonly diskWrittenBytes: number;
}

/** /proc/PID/io: what really came from disks, or is to go there; what the page cache had is not in it. */
export function parseProcessIo(text: string): ProcessIo {
  const count = (name: string): number => Number(new RegExp(`^${name}: (\\d+)$`, 'm').exec(text)?.[1] ?? 0);
  return { diskReadBytes: count('read_bytes'), diskWrittenBytes: count('write_bytes') };
}

export interface HostCpu {
  readonly cpus: number;
  readonly busyMs: number;
}

/** /proc/stat. Busy is all but idle and waiting for disks; what guests got is part of `user` and `nice`. */
export function parseHostCpu(text: string): HostCpu {
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0, steal = 0] =
    /^cpu +(.*)$/m.exec(text)?.[1]?.split(' ').map(Number) ?? [];
  return {
    cpus: text.match(/^cpu\d+ /gm)?.length ?? 0,
    busyMs: (user + nice + system + irq + softirq + steal) * MS_PER_TICK,
  };
}

export interface HostMemory {
  readonly totalBytes: number;
  readonly availableBytes: number;
}

/** /proc/meminfo */
export function parseHostMemory(text: string): HostMemory {
  const kib = kibFields(text);
  return { totalBytes: (kib.get('MemTotal') ?? 0) * KIB, availableBytes: (kib.get('MemAvailable') ?? 0) * KIB };
}

/** 'Name:   123 kB' a line, as smaps_rollup and meminfo are written. */
function kibFields(text: string): Map<string, number> {
  return new Map([...text.matchAll(/^(\w+): +(\d+) kB$/gm)].map(([, name = '', kib]) => [name, Number(kib)]));
}
