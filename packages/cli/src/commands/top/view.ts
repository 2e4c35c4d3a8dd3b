import { formatBytes } from '@skerry/api/base';
import { type Column, cut, renderTable, widthOf } from '../../tables/index.ts';
import { type HostRates, sorted, type SortKey, type VmRates } from './rates.ts';

/** Rates as lines of text. */

const percent = (value: number | undefined): string => (value === undefined ? '-' : value.toFixed(1));
/** Below a byte per second is noise of the division. */
const rate = (value: number | undefined): string => (value === undefined ? '-' : formatBytes(Math.round(value)));

const COLUMNS: ReadonlyArray<Column<VmRates>> = [
  { title: 'NAME', of: ({ name }) => name },
  { title: 'STATE', of: ({ state }) => state },
  { title: 'CPU%', of: ({ cpuPercent }) => percent(cpuPercent).padStart(6) },
  { title: 'PSS', of: ({ pssBytes }) => formatBytes(pssBytes) },
  { title: 'PRIVATE', of: ({ privateBytes }) => formatBytes(privateBytes) },
  { title: 'SHARED', of: ({ sharedBytes }) => formatBytes(sharedBytes) },
  { title: 'READ/s', of: ({ diskReadBytesPerS }) => rate(diskReadBytesPerS) },
  { title: 'WRITE/s', of: ({ diskWrittenBytesPerS }) => rate(diskWrittenBytesPerS) },
  { title: 'RECV/s', of: ({ receivedBytesPerS }) => rate(receivedBytesPerS) },
  { title: 'SENT/s', of: ({ sentBytesPerS }) => rate(sentBytesPerS) },
  { title: 'TITLE', of: ({ title }) => title, optional: true },
];

/** What is left out first where a terminal is narrow. */
const DISPENSABLE = ['TITLE', 'SHARED', 'STATE', 'PRIVATE', 'WRITE/s', 'READ/s', 'SENT/s', 'RECV/s'];
const MIN_NAME_WIDTH = 12;

export interface View {
  readonly sort: SortKey;
  /** Of the terminal; without it, as wide and as long as need be. */
  readonly size?: { readonly columns: number; readonly rows: number } | undefined;
}

export function topLines(host: HostRates, { sort, size }: View): string[] {
  const vms = sorted(host.vms, sort);
  const header = headerLines(host);
  const table = tableLines(vms, size?.columns);
  if (size === undefined) return [...header, '', ...table];
  const footer = keysLine(sort);
  const room = Math.max(1, size.rows - header.length - 2);
  const more = table.length - room;
  const shown = more > 0 ? [...table.slice(0, room - 1), `... and ${more + 1} more`] : table;
  return [...header, '', ...shown, footer].slice(0, size.rows).map((line) => cut(line, size.columns));
}

export function headerLines(host: HostRates): string[] {
  const used = host.memoryTotalBytes - host.memoryAvailableBytes;
  const sum = (of: (vm: VmRates) => number): number => host.vms.reduce((total, vm) => total + of(vm), 0);
  const cpu = host.cpuPercent === undefined ? '-' : `${host.cpuPercent.toFixed(1)}%`;
  const vms = host.vms.length === 1 ? '1 VM' : `${host.vms.length} VMs`;
  const pools = host.pools.map(({ image, ready, size }) => `${image} ${ready}/${size}`).join(', ') || 'none';
  return [
    `host: cpu ${cpu} of ${host.cpus}, memory ${formatBytes(used)} of ${formatBytes(host.memoryTotalBytes)}`,
    `${vms}: PSS ${formatBytes(sum(({ pssBytes }) => pssBytes))}, private ${formatBytes(sum(({ privateBytes }) => privateBytes))}; ` +
      `templates: ${formatBytes(host.templateBytes)}; pools: ${pools}`,
  ];
}

function tableLines(vms: readonly VmRates[], width: number | undefined): string[] {
  let columns = COLUMNS;
  for (let dropped = 0; ; dropped++) {
    const lines = renderTable(vms, columns).trimEnd().split('\n');
    const excess = width === undefined ? 0 : Math.max(...lines.map(widthOf)) - width;
    if (excess <= 0) return lines;
    if (dropped >= DISPENSABLE.length) return shortNames(vms, columns, excess);
    columns = columns.filter(({ title }) => title !== DISPENSABLE[dropped]);
  }
}

/** Long names go last: they tell VMs apart. */
function shortNames(vms: readonly VmRates[], columns: ReadonlyArray<Column<VmRates>>, excess: number): string[] {
  const longest = Math.max(0, ...vms.map(({ name }) => widthOf(name)));
  const room = Math.max(MIN_NAME_WIDTH, longest - excess);
  const short = vms.map((vm) => ({ ...vm, name: cut(vm.name, room) }));
  return renderTable(short, columns).trimEnd().split('\n');
}

export const SORT_KEYS: Readonly<Record<string, SortKey>> = {
  c: 'cpu',
  m: 'memory',
  n: 'network',
  d: 'disk',
  a: 'name',
};

function keysLine(sort: SortKey): string {
  const keys = Object.entries(SORT_KEYS).map(([key, name]) => (name === sort ? `${key} [${name}]` : `${key} ${name}`));
  return `sort: ${keys.join('  ')}   q quits`;
}
