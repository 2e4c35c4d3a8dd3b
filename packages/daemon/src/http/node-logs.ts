import { join } from 'node:path';
import type { Node, NodeLogLine, NodeLogQuery, Vm } from '@skerry/api';
import { LogLines, mergeLines, nameMatcher, splitVmName, type LogLine } from '@skerry/engine';
import type { Platform } from '../platform.ts';
import { readLog } from './logs.ts';

/** What the commands of a node's VMs write, as one: what is there by time, then what comes as it comes. */

/** Lines that wait for a slow reader, of all VMs together; those who write wait then. */
const MAX_WAITING = 1000;

export async function* nodeLogs(
  { vms, controller, watchVms }: Pick<Platform, 'vms' | 'controller' | 'watchVms'>,
  node: Node,
  { vms: names, follow, tail, sinceMs: ageMs }: NodeLogQuery,
  signal: AbortSignal,
): AsyncGenerator<NodeLogLine> {
  const pathOf = ({ id }: Vm): string => join(controller.dirs(id).dir, 'service.log');
  const isAsked = nameMatcher(node, names);
  const innerName = (vm: Vm): string | undefined => {
    const { node: of, name } = splitVmName(vm.name);
    return of === node.name && isAsked(name) ? name : undefined;
  };
  const now = (await vms.list()).filter((vm) => innerName(vm) !== undefined);
  const sinceMs = ageMs === undefined ? undefined : Date.now() - ageMs;
  const past = new Map<string, readonly LogLine[]>();
  const read = new Map<string, { lines: LogLines; bytes: number }>();
  for (const vm of now) {
    const lines = new LogLines();
    const found: LogLine[] = [];
    let bytes = 0;
    for await (const piece of readLog(pathOf(vm), undefined)) {
      bytes += piece.length;
      found.push(...lines.take(piece));
    }
    if (!follow) found.push(...lines.end());
    past.set(innerName(vm) ?? '', found);
    read.set(vm.id, { lines, bytes });
  }
  for (const line of mergeLines(past, { tail, sinceMs })) yield shown(line.vm, line);
  if (!follow) return;

  const queue = new LineQueue(MAX_WAITING);
  const followed = new Set<string>();
  const followOne = async (vm: Vm, name: string): Promise<void> => {
    followed.add(vm.id);
    const { lines, bytes } = read.get(vm.id) ?? { lines: new LogLines(), bytes: 0 };
    for await (const piece of readLog(pathOf(vm), signal, bytes)) {
      for (const line of lines.take(piece)) await queue.put(shown(name, line), signal);
    }
  };
  const start = (vm: Vm): void => {
    const name = innerName(vm);
    if (name === undefined || followed.has(vm.id) || vm.status.state === 'deleting') return;
    // Its directory may not be there before its first start, nor any more: then it has nothing to say.
    followOne(vm, name).catch(() => void followed.delete(vm.id));
  };
  const watching = (async () => {
    for await (const vm of watchVms(signal)) start(vm);
  })();
  watching.catch((error: unknown) => queue.fail(error));
  yield* queue.take(signal);
}

function shown(vm: string, { atMs, text }: LogLine): NodeLogLine {
  return { vm, ...(atMs === undefined ? {} : { at: new Date(atMs).toISOString() }), text };
}

/** From several who write to one who reads, and no more than so many in between. */
class LineQueue {
  readonly #most: number;
  readonly #lines: NodeLogLine[] = [];
  #changed = Promise.withResolvers<void>();
  #failure: unknown;

  constructor(most: number) {
    this.#most = most;
  }

  async put(line: NodeLogLine, signal: AbortSignal): Promise<void> {
    while (this.#lines.length >= this.#most && !signal.aborted) await this.#changed.promise;
    this.#lines.push(line);
    this.#wake();
  }

  fail(error: unknown): void {
    this.#failure = error;
    this.#wake();
  }

  async *take(signal: AbortSignal): AsyncGenerator<NodeLogLine> {
    signal.addEventListener('abort', () => this.#wake(), { once: true });
    while (!signal.aborted) {
      const lines = this.#lines.splice(0);
      if (lines.length > 0) {
        this.#wake();
        yield* lines;
      } else if (this.#failure !== undefined) throw this.#failure;
      else await this.#changed.promise;
    }
  }

  #wake(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
  }
}
