import type { VmExit } from '@skerry/api';
import { lastRun, type MachineExit } from '../hypervisors/index.ts';

/** Why a VM's process is gone, and whether that was meant. */

export type Farewell = 'poweroff' | 'reboot' | undefined;

/** What the agent writes on the console as its last line, for a daemon that was not there to hear it. */
const LAST_WORDS: ReadonlyArray<readonly [text: string, farewell: Farewell]> = [
  ['skerry-agent: poweroff', 'poweroff'],
  ['skerry-agent: reboot', 'reboot'],
];

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
  if (wanted === 'stop') return { ...base, kind: 'stopped', reason: 'powered off as asked' };
  // Not by us: nobody has asked for it.
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

/** The farewell as it stands at the end of the console's log; what an earlier run has said there counts no more. */
export async function farewellOnConsole(consoleLog: string): Promise<Farewell> {
  // No console, no last words.
  const lines = (await lastRun(consoleLog).catch(() => '')).trimEnd().split('\n').slice(-3);
  return LAST_WORDS.find(([text]) => lines.some((line) => line.includes(text)))?.[1];
}
