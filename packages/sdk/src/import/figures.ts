import { MAX_CPUS, MAX_MEMORY_MIB, MIN_MEMORY_MIB, parseSizeBytes } from '@skerry/api';
import type { DraftVm } from './draft.ts';
import type { Entry } from './entry.ts';

/** Pure: sizes, CPUs and durations of other formats as a node file writes them. */

const UNIT_MS: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
};

/** '1m30s' -> 90000; a bare number is seconds. Undefined, after saying so, for what is no duration. */
export function durationMsOf(entry: Entry): number | undefined {
  const text = entry.text();
  if (text === undefined) return undefined;
  if (/^\d+(?:\.\d+)?$/.test(text)) return Math.round(Number(text) * 1000);
  if (!/^(?:\d+(?:\.\d+)?(?:ns|us|µs|ms|s|m|h|d|w))+$/.test(text)) {
    entry.lost(`'${text}' is no duration`, 'Write it as 500ms, 30s or 5m.');
    return undefined;
  }
  const parts = text.matchAll(/(?<number>[\d.]+)(?<unit>[a-zµ]+)/g);
  const ms = [...parts].reduce(
    (sum, { groups }) => sum + Number(groups?.['number']) * (UNIT_MS[groups?.['unit'] ?? ''] ?? 0),
    0,
  );
  return Math.round(ms);
}

/** Within limits, as a text; else undefined, after saying so. */
export function durationOf(entry: Entry, minMs: number, maxMs: number): string | undefined {
  const ms = durationMsOf(entry);
  if (ms === undefined) return undefined;
  if (ms < minMs || ms > maxMs) {
    entry.lost(`${formatMs(ms)} is not between ${formatMs(minMs)} and ${formatMs(maxMs)}: the default holds`);
    return undefined;
  }
  return formatMs(ms);
}

function formatMs(ms: number): string {
  if (ms % 1000 !== 0) return `${ms}ms`;
  return ms > 0 && ms % 60_000 === 0 ? `${ms / 60_000}m` : `${ms / 1000}s`;
}

/** A container's limit becomes the memory that the VM has. */
export function memoryOf(entry: Entry, vm: DraftVm): void {
  const text = entry.text();
  if (text === undefined) return;
  let bytes: number;
  try {
    bytes = parseSizeBytes(text);
  } catch {
    entry.lost(`'${text}' is no size`, 'Write `memory: 128Mi`.');
    return;
  }
  const asked = Math.ceil(bytes / 2 ** 20);
  const mib = Math.min(Math.max(asked, MIN_MEMORY_MIB), MAX_MEMORY_MIB);
  vm.memory = mib % 1024 === 0 ? `${mib / 1024}Gi` : `${mib}Mi`;
  if (mib * 2 ** 20 !== bytes) entry.changed(`${text} becomes ${vm.memory}`);
}

/** A share of CPUs becomes whole ones. */
export function cpusOf(entry: Entry, vm: DraftVm): void {
  const text = entry.text();
  if (text === undefined) return;
  const asked = Number(text);
  if (!(asked > 0)) {
    entry.lost(`'${text}' is no number of CPUs`, 'Write `cpu: 1`.');
    return;
  }
  vm.cpu = Math.min(Math.ceil(asked), MAX_CPUS);
  if (vm.cpu !== asked) entry.changed(`${text} CPUs become ${vm.cpu}: a VM has whole ones`);
}

/** no, always, on-failure[:n], unless-stopped. */
export function restartOf(entry: Entry, vm: DraftVm): void {
  const text = entry.text();
  if (text === undefined) return;
  const [policy = '', tries] = text.split(':');
  if (policy === 'no' || policy === 'false') vm.restart = 'never';
  // A VM that somebody has stopped stays stopped in any case.
  else if (policy === 'always' || policy === 'unless-stopped') vm.restart = 'always';
  else if (policy === 'on-failure' && (tries === undefined || /^[1-9]\d{0,3}$/.test(tries))) vm.restart = text;
  else if (policy === 'on-failure' && tries === '0') vm.restart = 'on-failure';
  else entry.lost(`'${text}' is no restart policy here`, 'Write never, on-failure, always or on-failure:5.');
}
