import { readFile } from 'node:fs/promises';
import {
  parseProcessIo,
  parseProcessStat,
  parseSmapsRollup,
  parseStatm,
  type ProcessIo,
  type ProcessMemory,
} from './proc-model.ts';

export type ProcessUsage = { readonly cpuMs: number } & ProcessMemory & ProcessIo;

/** x86-64's. */
const PAGE_BYTES = 4096;

/** What one process uses; undefined when it has ended, or when another one has its pid by now. */
export async function processUsage(pid: number, startTime: string): Promise<ProcessUsage | undefined> {
  const read = (name: string): Promise<string> => readFile(`/proc/${pid}/${name}`, 'latin1').catch(() => '');
  const stat = parseProcessStat(await read('stat'));
  if (stat === undefined || stat.startTime !== startTime || stat.state === 'Z' || stat.state === 'X') return undefined;
  const memory = parseSmapsRollup(await read('smaps_rollup')) ?? parseStatm(await read('statm'), PAGE_BYTES);
  // It can have ended since the first look.
  return memory === undefined ? undefined : { cpuMs: stat.cpuMs, ...memory, ...parseProcessIo(await read('io')) };
}
