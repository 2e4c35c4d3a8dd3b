import { readFile } from 'node:fs/promises';
import type { BenchCase, Row } from '../case.ts';

/** The daemon with nothing to do, and no VM: what it costs a machine to have it. */

/** Its probes, and what a start leaves to be collected, are over by then. */
const SETTLE_MS = 5_000;
const LOOK_MS = 10_000;
/** sysconf(_SC_CLK_TCK) is 100 on Linux (proc(5), stat). */
const TICKS_PER_SECOND = 100;
const LOOKS = 3;

export const idle: BenchCase = {
  name: 'idle',
  async run({ host, say }): Promise<readonly Row[]> {
    const pid = host.daemonPid ?? 0;
    await sleep(SETTLE_MS);
    const share: number[] = [];
    const rss: number[] = [];
    for (let look = 0; look < LOOKS; look += 1) {
      const [ticks, startedAtMs] = [await cpuTicks(pid), performance.now()];
      await sleep(LOOK_MS);
      const seconds = (performance.now() - startedAtMs) / 1000;
      share.push((((await cpuTicks(pid)) - ticks) / TICKS_PER_SECOND / seconds) * 100);
      rss.push(await rssMib(pid));
    }
    say(`idle: ${share.map((percent) => percent.toFixed(2)).join(', ')} % of a core`);
    return [
      { what: 'daemon idle, no VM', unit: '%', values: share, bar: { most: 0.5 } },
      { what: 'memory of the daemon, no VM', unit: 'MiB', values: rss, bar: { most: 120 } },
    ];
  },
};

/** Of all its threads, user and system: fields 14 and 15 of /proc/PID/stat, counted behind the name (proc(5)). */
async function cpuTicks(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'latin1');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return Number(fields[11]) + Number(fields[12]);
}

async function rssMib(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1]) / 1024;
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
