import { EventInput, SkerryError, type SkerryEvent } from '@skerry/api';
import { Journal, type Store } from '../store/index.ts';
import { currentTask } from '../tasks/index.ts';

export interface EventFilter {
  /** 'vm.started', or 'vm' for all of its kind; any of them. */
  readonly types?: readonly string[] | undefined;
  /** Name or id, and its kind if given. */
  readonly subject?: { readonly kind?: string | undefined; readonly id?: string; readonly name?: string } | undefined;
  /** Of this node, and of its VMs as they were called when it happened. */
  readonly node?: NodeSubject | undefined;
}

/** Events of a node, its VMs and its tasks. */
export interface NodeSubject {
  readonly id: string;
  readonly name: string;
}

export interface EventLogOptions {
  /** Events kept. Default 10,000. */
  readonly keep?: number | undefined;
  /** An event could not be written: it is lost. */
  readonly onError?: ((error: SkerryError) => void) | undefined;
}

type StoredEvent = Omit<SkerryEvent, 'id'>;

const PAGE = 500;

/** What happened, in order, for whoever asks or follows. */
export class EventLog {
  readonly #journal: Journal<StoredEvent>;
  readonly #onError: (error: SkerryError) => void;

  constructor(store: Store, { keep = 10_000, onError = () => undefined }: EventLogOptions = {}) {
    this.#journal = new Journal(store, { prefix: '/events/', keep });
    this.#onError = onError;
  }

  /**
   * Within a task it carries the task's id. Resolves once it is on disk; nobody has to wait for that.
   * @throws SkerryError `internal` (not an event), what the store throws
   */
  emit(input: EventInput): Promise<SkerryEvent> {
    const emitted = this.#emit(input);
    emitted.catch((error: unknown) => this.#onError(SkerryError.from(error)));
    return emitted;
  }

  /** Oldest first: those past `after`, or else the newest. `limit` defaults to 100. */
  async list(
    query: EventFilter & { after?: number | undefined; limit?: number | undefined } = {},
  ): Promise<SkerryEvent[]> {
    const limit = query.limit ?? 100;
    const found: SkerryEvent[] = [];
    let { after, before } = { after: query.after, before: undefined as number | undefined };
    for (;;) {
      const page = await this.#journal.list({ after, before, limit: PAGE });
      const matching = page.map(eventOf).filter((event) => matches(event, query));
      if (query.after === undefined) found.unshift(...matching);
      else found.push(...matching);
      if (found.length >= limit || page.length < PAGE) break;
      if (query.after === undefined) before = page[0]?.id;
      else after = page.at(-1)?.id;
    }
    return query.after === undefined ? found.slice(-limit) : found.slice(0, limit);
  }

  /** Every event from `fromId` on (default: those to come), without gap or repeat; ends with the signal. */
  async *follow(
    query: EventFilter & { fromId?: number | undefined; signal?: AbortSignal | undefined } = {},
  ): AsyncGenerator<SkerryEvent, void, void> {
    for await (const item of this.#journal.follow({ fromId: query.fromId, signal: query.signal })) {
      const event = eventOf(item);
      if (matches(event, query)) yield event;
    }
  }

  /** Resolves once all that was emitted is on disk. */
  async flush(): Promise<void> {
    await this.#journal.flush();
  }

  async #emit(input: EventInput): Promise<SkerryEvent> {
    const taskId = input.taskId ?? currentTask()?.id;
    const checked = EventInput.safeParse(input);
    if (!checked.success) throw new SkerryError('internal', `Not an event: ${checked.error.message}`);
    const event: StoredEvent = {
      at: new Date().toISOString(),
      ...checked.data,
      ...(taskId === undefined ? {} : { taskId }),
    };
    return { id: await this.#journal.append(event), ...event };
  }
}

function eventOf({ id, item }: { readonly id: number; readonly item: StoredEvent }): SkerryEvent {
  return { id, ...item };
}

function matches(event: SkerryEvent, { types, subject, node }: EventFilter): boolean {
  if (node !== undefined && !isOf(event, node)) return false;
  if (types !== undefined && !types.some((type) => event.type === type || event.type.startsWith(`${type}.`)))
    return false;
  if (subject === undefined) return true;
  if (subject.kind !== undefined && event.subject?.kind !== subject.kind) return false;
  if (subject.id !== undefined && event.subject?.id !== subject.id) return false;
  return subject.name === undefined || event.subject?.name === subject.name;
}

function isOf({ subject }: SkerryEvent, { id, name }: NodeSubject): boolean {
  if (subject === undefined) return false;
  if (subject.id === id) return true;
  return subject.kind === 'vm' ? subject.name.startsWith(`${name}/`) : subject.kind === 'node' && subject.name === name;
}
