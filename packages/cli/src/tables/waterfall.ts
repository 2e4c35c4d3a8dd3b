import type { StartReport } from '@skerry/api/base';
import { padEnd, printable } from './text.ts';

const BAR_COLUMNS = 40;

/** Where the time of a start went: a line per phase, its bar where in the whole it was. */
export function waterfall({ phases, totalMs, kernel, accelerator, machine }: StartReport): string[] {
  const nameWidth = Math.max(5, ...phases.map(({ name }) => name.length));
  const scale = totalMs > 0 ? BAR_COLUMNS / totalMs : 0;
  let beganMs = 0;
  const rows = phases.map(({ name, ms }) => {
    const from = Math.min(BAR_COLUMNS - 1, Math.round(beganMs * scale));
    const to = Math.max(from + 1, Math.min(BAR_COLUMNS, Math.round((beganMs + ms) * scale)));
    beganMs += ms;
    return `${padEnd(printable(name), nameWidth)}  ${ms.toFixed(1).padStart(8)} ms  ${' '.repeat(from)}${'█'.repeat(to - from)}`;
  });
  const total = `${padEnd('total', nameWidth)}  ${totalMs.toFixed(1).padStart(8)} ms  (${kernel} kernel, ${accelerator}, ${machine})`;
  return [...rows, total];
}
