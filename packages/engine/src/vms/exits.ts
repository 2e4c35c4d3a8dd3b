import { open } from 'node:fs/promises';
import type { VmExit } from '@skerry/api';
import type { MachineExit } from '../hypervisors/index.ts';

/** Why a VM's process is gone, and whether that was meant. */

export type Farewell = 'poweroff' | 'reboot' | undefined;

/** What the agent writes on the console as its last line, for a daemon that was not there to hear it. */
const LAST_WORDS: ReadonlyArray<readonly [text: string, farewell: Farewell]> = [
  ['skerry-agent: poweroff', 'poweroff'],
  ['skerry-agent: reboot', 'reboot'],
];
const TAIL_BYTES = 4096;

/** Pure. With acpi=off a guest that powers off resets, like one that panics: only its farewell tells them apart. */
export function exitOf(exit: MachineExit, farewell: Farewell, wanted: 'stop' | 'kill' | undefined): VmExit {
  const at = new Date(exit.atMs).toISOString();
  const base = { at, exitCode: exit.code, signal: exit.signal };
  if (wanted === 'kill') return { ...base, kind: 'stopped', reason: 'powered off as asked' };
  if (farewell === 'poweroff')
    return {
      ...base,
      kind: 'stopped',
      reason: wanted === 'stop' ? 'shut down as asked' : 'the guest powered itself off',
    };
  if (farewell === 'reboot') return { ...base, kind: 'stopped', reason: 'the guest rebooted itself' };
  if (wanted === 'stop' || exit.kind === 'killed') return { ...base, kind: 'stopped', reason: 'powered off as asked' };
  return { ...base, kind: 'crashed', reason: exit.reason };
}

/** Of a process that nobody saw end. */
export function lostExit(): MachineExit {
  return {
    kind: 'crashed',
    code: null,
    signal: null,
    reason: 'its process is gone and left no record: the host restarted, or its supervisor was killed',
    atMs: Date.now(),
  };
}

/** The farewell as it stands at the end of the console's log. */
export async function farewellOnConsole(consoleLog: string): Promise<Farewell> {
  try {
    await using file = await open(consoleLog, 'r');
    const { size } = await file.stat();
    const length = Math.min(size, TAIL_BYTES);
    const { buffer } = await file.read(Buffer.alloc(length), 0, length, size - length);
    const lines = buffer.toString('latin1').trimEnd().split('\n').slice(-3);
    for (const [text, farewell] of LAST_WORDS) if (lines.some((line) => line.includes(text))) return farewell;
  } catch {
    // No console, no last words.
  }
  return undefined;
}
