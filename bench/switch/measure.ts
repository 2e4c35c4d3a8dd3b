import { fork, type ChildProcess } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { SegmentImpairment, SwitchConfig } from '@skerry/switch';
import type { GuestsMessage, GuestsTask, Link, Times, Throughput } from './guests.ts';
import { end, startSwitch } from './process.ts';

/** The real switch process with links between two sockets each; the sockets' ends are in a third process. */

export interface Measured<R> {
  readonly result: R;
  /** Of one core, spent by the switch while it was measured. */
  readonly cpuPercent: number;
  /** Frames that found no room in the queue of a line or a port. */
  readonly droppedFrames: number;
}

export interface LinkTask {
  readonly links: number;
  /** In both directions. */
  readonly impairment?: SegmentImpairment | undefined;
  readonly seconds: number;
}

export function measureTimes(options: LinkTask & { framesPerSecond: number }): Promise<Measured<Times>> {
  const { framesPerSecond, seconds } = options;
  return measure<Times>(options, (links) => ({ kind: 'times', links, framesPerSecond, seconds }));
}

export function measureThroughput(options: LinkTask & { windowBytes: number }): Promise<Measured<Throughput>> {
  const { windowBytes, seconds } = options;
  return measure<Throughput>(options, ([link]) => ({ kind: 'flow', link: link!, windowBytes, seconds }));
}

async function measure<R>(options: LinkTask, taskOf: (links: Link[]) => GuestsTask): Promise<Measured<R>> {
  await using undo = new AsyncDisposableStack();
  const directory = await mkdtemp(join(tmpdir(), 'skerry-bench-'));
  undo.defer(() => rm(directory, { recursive: true, force: true }));
  const links = Array.from({ length: options.links }, (_, n): Link => {
    const folder = join(directory, String(n % 20));
    return [join(folder, `${n}a`), join(folder, `${n}b`)];
  });
  const guests = fork(join(import.meta.dirname, 'guests.ts'), { execArgv: ['--conditions=source'] });
  undo.defer(() => end(guests));
  const isListening = said(guests, (message) => (message === 'listening' ? true : undefined));
  const isMeasuring = said(guests, (message) => (message === 'measuring' ? true : undefined));
  const result = said(guests, (message) => (typeof message === 'object' ? message.result : undefined));
  guests.send(taskOf(links));
  await isListening;
  await using target = await startSwitch(directory);
  const { client, cpuMs } = target;
  await client.call('sync', configOf(links, options.impairment));
  await isMeasuring;
  const before = { cpuMs: await cpuMs(), atMs: performance.now() };
  const done = await result;
  const [spentMs, ms] = [(await cpuMs()) - before.cpuMs, performance.now() - before.atMs];
  const { segments } = await client.call('stats');
  const dropped = segments.flatMap(({ ports }) =>
    ports.map(({ queueDrops, impaired }) => queueDrops + impaired.out.queueDrops + impaired.in.queueDrops),
  );
  return {
    result: done as R,
    cpuPercent: (spentMs / ms) * 100,
    droppedFrames: dropped.reduce((sum, each) => sum + each),
  };
}

/** Each direction has its impairment at the sender. */
function configOf(links: readonly Link[], out: SegmentImpairment | undefined): SwitchConfig {
  const common = { gateway: '10.214.0.1', gatewayMac: '52:55:0a:d6:00:01', hostAddresses: [], upstreamDns: [] };
  const segments = links.map((link, n) => {
    const ports = link.map((socketPath, i) => ({
      id: `${n}/${i}`,
      socketPath,
      mac: `02:00:00:00:00:0${i}`,
      addresses: [],
      names: [],
      linkUp: true,
      ...(out === undefined ? {} : { impairments: [{ out, seed: 1 }] }),
    }));
    return { id: String(n), kind: 'link' as const, subnet: '10.214.0.0/30', ...common, ports };
  });
  return { version: 1, segments };
}

async function said<T>(child: ChildProcess, read: (message: GuestsMessage) => T | undefined): Promise<T> {
  return new Promise((resolve, reject) => {
    child.on('message', (message: GuestsMessage) => {
      const found = read(message);
      if (found !== undefined) resolve(found);
    });
    child.once('exit', (code) => reject(new Error(`the guests ended with ${code}`)));
  });
}
