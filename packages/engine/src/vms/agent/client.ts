import { EventEmitter } from 'node:events';
import type { Duplex, Readable } from 'node:stream';
import { SkerryError } from '@skerry/api';
import type { AgentConnection } from './connection.ts';
import { printable, protocolError } from './errors.ts';
import { commandValues, execute, exitStatus } from './exec.ts';
import { faultStatus, faultValues } from './faults.ts';
import { fileEntry, getFile, listFolder, pathValues, putFile } from './files.ts';
import { forwardTo } from './forward.ts';
import { encodeIdentity, encodeNicChanges } from './identity.ts';
import { NOTIFY, OP, RESTARTS, SERVICE, SERVICE_STATES, TAG } from './protocol.ts';
import { TlvWriter, type Tlvs } from './tlv.ts';
import type {
  AgentClient,
  AgentFileEntry,
  AgentHello,
  AgentNotice,
  AgentProcess,
  CallOptions,
  ExecSpec,
  FileDownload,
  GuestFault,
  GuestStats,
  Identity,
  MountSpec,
  NicChange,
  NicNames,
  PutOptions,
  ServiceControl,
  ServiceSpec,
  ServiceStatus,
} from './types.ts';

const DEFAULT_TIMEOUT_MS = 30_000;

interface ClientEvents {
  notify: [notice: AgentNotice];
  close: [error?: Error];
}

/** The operations, on a connection that has said hello. */
export class Client extends EventEmitter<ClientEvents> implements AgentClient {
  readonly hello: AgentHello;
  readonly service: ServiceControl;
  readonly #connection: AgentConnection;

  constructor(connection: AgentConnection, hello: AgentHello) {
    super();
    this.hello = hello;
    this.#connection = connection;
    this.service = {
      set: (spec, options) => this.#setService(spec, options),
      status: (options) => this.#serviceStatus(options),
    };
    connection.on('notify', (kind, values) => this.#notice(kind, values));
    connection.on('close', (error) => (error === undefined ? this.emit('close') : this.emit('close', error)));
  }

  get connected(): boolean {
    return !this.#connection.closed;
  }

  async identify(identity: Identity, options: CallOptions = {}): Promise<void> {
    await this.#call(OP.IDENTIFY, encodeIdentity(identity), 'identify', options);
  }

  async changeNics(changes: readonly NicChange[], names?: NicNames, options: CallOptions = {}): Promise<void> {
    await this.#call(OP.NICS, encodeNicChanges(changes, names), 'change NICs', options);
  }

  async mountRoot(device: string, readPaths: readonly string[], options: CallOptions = {}): Promise<void> {
    const values = new TlvWriter().string(TAG.ROOT, device);
    for (const path of readPaths) values.string(TAG.PATH, path);
    await this.#call(OP.ROOT, values, 'mount the root disk', options);
  }

  async freeze(options: CallOptions = {}): Promise<void> {
    await this.#call(OP.FREEZE, new TlvWriter(), 'freeze', options);
  }

  async thaw(options: CallOptions = {}): Promise<void> {
    await this.#call(OP.THAW, new TlvWriter(), 'thaw', options);
  }

  exec(spec: ExecSpec, options: { signal?: AbortSignal | undefined } = {}): AgentProcess {
    return execute(this.#connection, spec, options.signal);
  }

  put(path: string, source: Readable, options: PutOptions = {}): Promise<{ sha256: string; bytes: number }> {
    return putFile(this.#connection, path, source, options);
  }

  async link(path: string, target: string, options: CallOptions = {}): Promise<void> {
    await this.#call(OP.LINK, pathValues(path).string(TAG.TARGET, target), `link ${path}`, options);
  }

  get(path: string, options: { signal?: AbortSignal | undefined } = {}): FileDownload {
    return getFile(this.#connection, path, options.signal);
  }

  list(path: string, options: CallOptions = {}): Promise<AgentFileEntry[]> {
    return withDeadline(`list ${path}`, options, (signal) => listFolder(this.#connection, path, signal));
  }

  async stat(path: string, options: CallOptions = {}): Promise<AgentFileEntry> {
    const values = await this.#call(OP.STAT, pathValues(path), `stat ${path}`, options);
    return fileEntry(values.bytes(TAG.ENTRY));
  }

  async mount(spec: MountSpec, options: CallOptions = {}): Promise<void> {
    const values = new TlvWriter()
      .string(TAG.SOURCE, spec.source)
      .string(TAG.TARGET, spec.target)
      .string(TAG.FSTYPE, spec.fstype)
      .string(TAG.OPTIONS, spec.options);
    await this.#call(OP.MOUNT, values, `mount ${spec.target}`, options);
  }

  async unmount(target: string, options: CallOptions = {}): Promise<void> {
    await this.#call(OP.UNMOUNT, new TlvWriter().string(TAG.TARGET, target), `unmount ${target}`, options);
  }

  async stats(options: CallOptions = {}): Promise<GuestStats> {
    const values = await this.#call(OP.STATS, new TlvWriter(), 'stats', options);
    const [one = 0, five = 0, fifteen = 0] = values.numbers(TAG.LOAD_MILLI).map((milli) => milli / 1000);
    return {
      memoryTotalKib: values.number(TAG.MEMORY_TOTAL_KIB),
      memoryFreeKib: values.number(TAG.MEMORY_FREE_KIB),
      memoryAvailableKib: values.number(TAG.MEMORY_AVAILABLE_KIB),
      load: [one, five, fifteen],
      uptimeMs: values.number(TAG.UPTIME_MS),
      cpuBusyMs: values.number(TAG.CPU_BUSY_MS),
      cpuIdleMs: values.number(TAG.CPU_IDLE_MS),
      processes: values.number(TAG.PROCESSES),
      diskTotalKib: values.number(TAG.DISK_TOTAL_KIB),
      diskFreeKib: values.number(TAG.DISK_FREE_KIB),
    };
  }

  async beginFault(kind: GuestFault, amount: number, forMs: number | undefined, options: CallOptions = {}) {
    await this.#call(OP.FAULT, faultValues('BEGIN', kind, amount, forMs), `begin the fault ${kind}`, options);
  }

  async endFault(kind: GuestFault, options: CallOptions = {}): Promise<void> {
    await this.#call(OP.FAULT, faultValues('END', kind), `end the fault ${kind}`, options);
  }

  async faultStatus(kind: GuestFault, options: CallOptions = {}): Promise<{ active: boolean; amount: number }> {
    return faultStatus(await this.#call(OP.FAULT, faultValues('STATUS', kind), `look at the fault ${kind}`, options));
  }

  forward(port: number, host?: string, options: { signal?: AbortSignal | undefined } = {}): Duplex {
    return forwardTo(this.#connection, port, host, options.signal);
  }

  async powerOff(
    mode: 'poweroff' | 'reboot',
    options: CallOptions & { graceMs?: number | undefined } = {},
  ): Promise<void> {
    const kind = mode === 'reboot' ? NOTIFY.REBOOT : NOTIFY.POWEROFF;
    const values = new TlvWriter().u32(TAG.ACTION, kind).u64(TAG.GRACE_MS, options.graceMs);
    await this.#call(OP.POWER, values, mode, options);
  }

  close(): void {
    this.#connection.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#connection.close();
  }

  async #setService(spec: ServiceSpec | null, options: CallOptions = {}): Promise<void> {
    const action = new TlvWriter().u32(TAG.ACTION, spec === null ? SERVICE.STOP : SERVICE.SET);
    if (spec !== null) {
      // Behind the action, as the agent compares all that follows it with what it runs.
      const restart = RESTARTS.indexOf(spec.restart ?? 'always');
      const rest = commandValues(spec).u32(TAG.RESTART, restart).end();
      await this.#call(OP.SERVICE, action.raw(rest), `service ${spec.argv[0] ?? ''}`, options);
    } else {
      await this.#call(OP.SERVICE, action, 'stop the service', options);
    }
  }

  async #serviceStatus(options: CallOptions = {}): Promise<ServiceStatus> {
    const action = new TlvWriter().u32(TAG.ACTION, SERVICE.STATUS);
    const values = await this.#call(OP.SERVICE, action, 'status of the service', options);
    const state = SERVICE_STATES[values.number(TAG.STATE)];
    if (state === undefined) throw protocolError('a service state that can not be one');
    const ended = values.has(TAG.EXIT_CODE) || values.has(TAG.SIGNAL) ? exitStatus(values) : undefined;
    return {
      state,
      restarts: values.number(TAG.RESTARTS),
      pid: values.has(TAG.PID) ? values.number(TAG.PID) : undefined,
      exitCode: ended?.exitCode ?? undefined,
      signal: ended?.signal ?? undefined,
    };
  }

  #call(op: number, values: TlvWriter, what: string, options: CallOptions): Promise<Tlvs> {
    return withDeadline(what, options, (signal) => this.#connection.open(op, values, [], { what, signal }).result);
  }

  #notice(kind: number, values: Tlvs): void {
    try {
      if (kind === NOTIFY.POWEROFF) this.emit('notify', { kind: 'poweroff' });
      else if (kind === NOTIFY.REBOOT) this.emit('notify', { kind: 'reboot' });
      else if (kind === NOTIFY.SERVICE_EXIT) {
        const restarts = values.number(TAG.RESTARTS);
        const willRestart = values.number(TAG.WILL_RESTART) === 1;
        this.emit('notify', { kind: 'service-exit', ...exitStatus(values), restarts, willRestart });
      } else if (kind === NOTIFY.PROTOCOL_ERROR) {
        const text = printable(values.string(TAG.ERROR));
        throw new SkerryError('internal', `the guest agent refused what the host sent: ${text}`);
      }
    } catch (error) {
      if (!(error instanceof SkerryError)) throw error;
      this.#connection.close(error);
    }
  }
}

/** A guest may never answer: every call has an end. */
async function withDeadline<T>(
  what: string,
  options: CallOptions,
  call: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
  const deadline = new AbortController();
  const timer = setTimeout(() => deadline.abort(), timeoutMs);
  const signal = options.signal === undefined ? deadline.signal : AbortSignal.any([options.signal, deadline.signal]);
  try {
    return await call(signal);
  } catch (error) {
    if (!deadline.signal.aborted) throw error;
    throw new SkerryError('timeout', `${what}: the guest agent did not answer within ${timeoutMs} ms`, {
      remedy: 'See what the guest is busy with (skerry console), or allow more time.',
      cause: error,
    });
  } finally {
    clearTimeout(timer);
  }
}
