import { SwitchError } from '../error.ts';
import type { Port } from '../port.ts';
import { Capture } from './capture.ts';
import { parseCaptureName, parseCaptureParams, type FileTarget, type ReaderTarget } from './params.ts';
import type { CaptureState } from './protocol.ts';
import { ReaderSocket } from './reader-socket.ts';
import { RingFile } from './ring-file.ts';
import type { CaptureSink } from './sink.ts';
import { WallTime } from './wall-time.ts';

/** With their queues 256 MiB. */
const MAX_CAPTURES = 32;

interface Running {
  readonly target: FileTarget | ReaderTarget;
  readonly port: Port;
  readonly capture: Capture;
  readonly startedAtMs: number;
  error: string | undefined;
}

/** All captures of a switch, by name. */
export class Captures {
  readonly #portsOf: (id: string) => readonly Port[];
  readonly #log: (line: string) => void;
  readonly #time = new WallTime();
  readonly #all = new Map<string, Running>();
  /** Names whose file or socket is being opened. */
  readonly #starting = new Set<string>();

  /** @param portsOf those with this id now: the ids of a segment are its own */
  constructor(portsOf: (id: string) => readonly Port[], log: (line: string) => void) {
    this.#portsOf = portsOf;
    this.#log = log;
  }

  async start(params: unknown): Promise<CaptureState> {
    const target = parseCaptureParams(params);
    const { name } = target;
    const port = this.#portOf(target.portId);
    if (this.#all.has(name) || this.#starting.has(name)) {
      throw new SwitchError('invalid', `There is a capture ${name} already`);
    }
    if (this.#all.size + this.#starting.size >= MAX_CAPTURES) {
      throw new SwitchError('failed', `There are ${MAX_CAPTURES} captures already`);
    }
    this.#starting.add(name);
    try {
      const sink = await openSink(target);
      if (port.isClosed) {
        sink.abandon();
        throw new SwitchError('failed', `Port ${target.portId} went away`);
      }
      return this.#run(target, port, new Capture(sink, target.snapBytes, this.#time));
    } finally {
      this.#starting.delete(name);
    }
  }

  async stop(params: unknown): Promise<CaptureState> {
    const name = parseCaptureName(params);
    const running = this.#all.get(name);
    if (running === undefined) throw new SwitchError('invalid', `There is no capture ${name}`);
    await running.capture.finish();
    this.#forget(running);
    return stateOf(running);
  }

  list(): { captures: CaptureState[] } {
    return { captures: [...this.#all.values()].map((running) => stateOf(running)) };
  }

  /** @returns when all is written that can be */
  async end(port: Port): Promise<void> {
    const its = [...this.#all.values()].filter((running) => running.port === port);
    for (const { target } of its) this.#log(`capture ${target.name}: its port is gone`);
    await Promise.all(its.map(({ capture }) => capture.finish()));
    for (const running of its) this.#forget(running);
  }

  #portOf(id: string): Port {
    const [port, ...others] = this.#portsOf(id);
    if (port === undefined) throw new SwitchError('invalid', `There is no port ${id}`);
    if (others.length > 0) throw new SwitchError('invalid', `There are ${others.length + 1} ports ${id}`);
    return port;
  }

  #run(target: FileTarget | ReaderTarget, port: Port, capture: Capture): CaptureState {
    const running: Running = { target, port, capture, startedAtMs: Date.now(), error: undefined };
    this.#all.set(target.name, running);
    port.attach(capture);
    void capture.ended.then((error) => {
      port.detach(capture);
      // A reader that hung up knows; nobody would tell us to stop.
      if ('socketPath' in target) this.#forget(running);
      else running.error = error?.message;
      if (error !== undefined) this.#log(`capture ${target.name}: ${error.message}`);
    });
    return stateOf(running);
  }

  #forget(running: Running): void {
    if (this.#all.get(running.target.name) === running) this.#all.delete(running.target.name);
  }
}

async function openSink(target: FileTarget | ReaderTarget): Promise<CaptureSink> {
  try {
    if ('path' in target) return await RingFile.create(target.path, target.snapBytes, target.ringBytes);
    return await ReaderSocket.connect(target.socketPath, target.snapBytes);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new SwitchError('failed', `The capture ${target.name} can not be written: ${why}`, { cause });
  }
}

function stateOf({ target, port, capture, startedAtMs, error }: Running): CaptureState {
  const { frames, bytes, drops, keptBytes } = capture;
  return { ...target, portId: port.id, startedAtMs, frames, bytes, drops, keptBytes, error };
}
