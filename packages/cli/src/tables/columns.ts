import type { Node, Vm } from '@skerry/api/base';
import type { Column } from './table.ts';

/** A UUID v7 begins with the time, so things made together look alike: its end tells them apart. */
export const shortId = (id: string): string => id.slice(-8);

const memory = (mib: number): string => (mib % 1024 === 0 ? `${mib / 1024}Gi` : `${mib}Mi`);

const nodeOf = (name: string): string => (name.includes('/') ? name.slice(0, name.indexOf('/')) : '');

const labelsOf = ({ labels }: Pick<Vm, 'labels'>): string =>
  Object.entries(labels)
    .map(([key, value]) => `${key}=${value}`)
    .join(',');

function uptime(vm: Vm): string {
  const at = vm.status.start?.at;
  if (at === undefined || (vm.status.state !== 'running' && vm.status.state !== 'paused')) return '';
  const seconds = Math.max(0, Math.floor((Date.now() - Date.parse(at)) / 1000));
  if (seconds < 120) return `${seconds}s`;
  if (seconds < 7200) return `${Math.floor(seconds / 60)}m`;
  return seconds < 172_800 ? `${Math.floor(seconds / 3600)}h` : `${Math.floor(seconds / 86_400)}d`;
}

/** 'restarts in 4 s (try 3)' */
export function restartText({ recovery }: Vm['status'], nowMs = Date.now()): string {
  if (recovery?.phase !== 'waiting' || recovery.dueAt === undefined) return '';
  const seconds = Math.max(0, Math.ceil((Date.parse(recovery.dueAt) - nowMs) / 1000));
  return `restarts in ${seconds} s (try ${recovery.tries})`;
}

/** Why it is not what was wanted; the whole of it is in `info`. */
function messageOf({ status }: Vm): string {
  const restart = restartText(status);
  const isEnded = status.state === 'crashed' || status.state === 'stopped';
  return restart === '' && isEnded ? (status.message ?? '') : restart;
}

export const VM_COLUMNS: ReadonlyArray<Column<Vm>> = [
  { title: 'ID', of: ({ id }) => shortId(id) },
  { title: 'NAME', of: ({ name }) => name },
  {
    title: 'STATE',
    of: ({ status }) => (status.health === 'unhealthy' ? `${status.state} (unhealthy)` : status.state),
  },
  { title: 'CPU', of: ({ spec }) => spec.cpus },
  { title: 'MEMORY', of: ({ spec }) => memory(spec.memoryMib) },
  { title: 'ADDRESSES', of: ({ status }) => status.nics.map(({ address }) => address).join(',') },
  { title: 'NODE', of: ({ name }) => nodeOf(name) },
  { title: 'TITLE', of: ({ title }) => title, optional: true },
  { title: 'MESSAGE', of: messageOf, optional: true },
  { title: 'HEALTH', of: ({ status }) => (status.health === 'none' ? '' : status.health), wide: true },
  { title: 'IMAGE', of: ({ spec }) => spec.image, wide: true },
  { title: 'LABELS', of: labelsOf, wide: true },
  { title: 'KERNEL', of: ({ status }) => status.agent?.kernel ?? status.start?.kernel, wide: true },
  { title: 'PID', of: ({ status }) => status.process?.pid, wide: true },
  { title: 'UPTIME', of: uptime, wide: true },
  {
    title: 'FORWARDS',
    of: ({ spec }) => spec.forwards.map((each) => `${each.hostPort}:${each.guestPort}`).join(','),
    wide: true,
  },
  { title: 'FULL-ID', of: ({ id }) => id, wide: true },
];

export const NODE_COLUMNS: ReadonlyArray<Column<Node>> = [
  { title: 'NAME', of: ({ name }) => name },
  { title: 'STATE', of: ({ status }) => status.state },
  { title: 'VMS', of: ({ spec }) => Object.keys(spec.vms).length },
  { title: 'NETWORKS', of: ({ spec }) => Object.keys(spec.networks).join(',') },
  {
    title: 'FORWARDS',
    of: ({ spec }) =>
      Object.entries(spec.vms)
        .flatMap(([name, { forwards }]) => forwards.map((each) => `${each.hostPort}->${name}:${each.guestPort}`))
        .join(','),
  },
  { title: 'TITLE', of: ({ title }) => title, optional: true },
  { title: 'MESSAGE', of: ({ status }) => status.message, optional: true },
  { title: 'LABELS', of: labelsOf, wide: true },
  { title: 'CREATED', of: ({ createdAt }) => createdAt, wide: true },
  { title: 'ID', of: ({ id }) => id, wide: true },
];
