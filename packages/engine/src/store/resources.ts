import {
  DEFAULT_PROJECT,
  ResourceHeader,
  SkerryError,
  type Labels,
  type Resource,
  type ResourceRef,
} from '@skerry/api';
import { commit, type Store, type StoreEntry, type StoreOp } from './port.ts';
import { uuidv7 } from './uuid.ts';

/** One kind of resource in the store: `/vms/<id>` is the resource, `/names/vms/<project>/<name>` holds its id. */

export interface ResourceKind {
  /** 'vm': as it is called in messages. */
  readonly kind: string;
  /** 'vms': as it is called in keys. */
  readonly collection: string;
}

export interface NewResource<TSpec, TStatus> {
  /** A UUID v7 that nobody has; a new one when undefined. */
  readonly id?: string | undefined;
  readonly name: string;
  readonly project?: string | undefined;
  readonly title?: string | undefined;
  readonly labels?: Labels | undefined;
  readonly spec: TSpec;
  readonly status: TStatus;
}

/** What `update` changes; what is absent stays. */
export interface ResourceChange<TSpec, TStatus> {
  readonly name?: string;
  readonly title?: string | undefined;
  readonly labels?: Labels;
  readonly spec?: TSpec;
  readonly status?: TStatus;
}

export interface Precondition {
  /** Refuse with `conflict` if it has changed since this revision of it was read. */
  readonly ifRevision?: number | undefined;
}

export interface ResourceList<TResource> {
  readonly items: readonly TResource[];
  /** Of the store: watch from `revision + 1` to hear of every later change. */
  readonly revision: number;
  /** Give it as `after` for the next page; absent on the last. */
  readonly nextAfter?: string;
}

export type ResourceEvent<TResource> =
  | { readonly type: 'put'; readonly revision: number; readonly id: string; readonly resource: TResource }
  | { readonly type: 'delete'; readonly revision: number; readonly id: string };

/** Past this, losing a race again is no accident. */
const MAX_UPDATE_ATTEMPTS = 32;

export class Resources<TSpec, TStatus> {
  readonly #store: Store;
  readonly #kind: string;
  /** What a person reads. */
  readonly #word: string;
  readonly #prefix: string;
  readonly #names: string;
  /** Entries do not change, so each is parsed once: a list of 10,000 costs 10,000 look-ups. */
  readonly #parsed = new WeakMap<StoreEntry, Resource<TSpec, TStatus>>();

  constructor(store: Store, { kind, collection }: ResourceKind) {
    this.#store = store;
    this.#kind = kind;
    this.#word = kind === 'vm' ? 'VM' : kind;
    this.#prefix = `/${collection}/`;
    this.#names = `/names/${collection}/`;
  }

  /** @throws SkerryError `conflict` (the name is taken) */
  async create(input: NewResource<TSpec, TStatus>): Promise<Resource<TSpec, TStatus>> {
    const now = new Date().toISOString();
    const resource: Resource<TSpec, TStatus> = {
      kind: this.#kind,
      id: input.id ?? uuidv7(),
      name: input.name,
      project: input.project ?? DEFAULT_PROJECT,
      ...(input.title === undefined ? {} : { title: input.title }),
      labels: input.labels ?? {},
      createdAt: now,
      updatedAt: now,
      revision: 0,
      spec: input.spec,
      status: input.status,
    };
    const nameKey = this.#nameKey(resource.project, resource.name);
    const result = await this.#store.txn({
      compare: [{ key: nameKey, exists: false }],
      then: [
        { type: 'put', key: this.#prefix + resource.id, value: encode(resource) },
        { type: 'put', key: nameKey, value: resource.id },
      ],
    });
    if (!result.succeeded) throw this.#nameTaken(resource.name);
    return this.get(resource.id);
  }

  async find(id: string): Promise<Resource<TSpec, TStatus> | undefined> {
    const entry = await this.#store.get(this.#prefix + id);
    return entry === undefined ? undefined : this.#parse(entry);
  }

  /** @throws SkerryError `not-found` */
  async get(id: string): Promise<Resource<TSpec, TStatus>> {
    const resource = await this.find(id);
    if (resource === undefined) throw this.#notFound(id);
    return resource;
  }

  async findByName(name: string, project: string = DEFAULT_PROJECT): Promise<Resource<TSpec, TStatus> | undefined> {
    const index = await this.#store.get(this.#nameKey(project, name));
    return index === undefined ? undefined : this.find(index.value);
  }

  /** @throws SkerryError `not-found` */
  async byName(name: string, project: string = DEFAULT_PROJECT): Promise<Resource<TSpec, TStatus>> {
    const resource = await this.findByName(name, project);
    if (resource === undefined) throw this.#notFound(name);
    return resource;
  }

  /** In the order of creation. */
  async list(
    query: { project?: string | undefined; limit?: number | undefined; after?: string | undefined } = {},
  ): Promise<ResourceList<Resource<TSpec, TStatus>>> {
    const after = query.after === undefined ? undefined : this.#prefix + query.after;
    const { entries, more, revision } = await this.#store.range({ prefix: this.#prefix, limit: query.limit, after });
    const page = entries.map((entry) => this.#parse(entry));
    const last = page.at(-1);
    return {
      items: query.project === undefined ? page : page.filter((resource) => resource.project === query.project),
      revision,
      ...(more && last !== undefined ? { nextAfter: last.id } : {}),
    };
  }

  /**
   * Reads, changes, writes, and begins again if someone was faster: so `change` may run more than once, on what is then
   * there. Without a change (undefined, or all as it was) nothing is written and nobody woken.
   * @throws SkerryError `not-found`, `conflict` (ifRevision, new name taken, or always too late), what `change` throws
   */
  async update(
    id: string,
    change: (
      current: Resource<TSpec, TStatus>,
    ) => ResourceChange<TSpec, TStatus> | undefined | Promise<ResourceChange<TSpec, TStatus> | undefined>,
    { ifRevision }: Precondition = {},
  ): Promise<Resource<TSpec, TStatus>> {
    const key = this.#prefix + id;
    for (let attempt = 0; attempt < MAX_UPDATE_ATTEMPTS; attempt += 1) {
      const current = await this.get(id);
      this.#assertRevision(current, ifRevision);
      const changes = await change(current);
      const next = { ...current, ...changes, updatedAt: current.updatedAt };
      if (changes === undefined || encode(next) === encode(current)) return current;
      const renamed = next.name !== current.name;
      const newName = this.#nameKey(current.project, next.name);
      const value = encode({ ...next, updatedAt: new Date().toISOString() });
      const rename: StoreOp[] = [
        { type: 'delete', key: this.#nameKey(current.project, current.name) },
        { type: 'put', key: newName, value: id },
      ];
      const result = await this.#store.txn({
        compare: [{ key, modRevision: current.revision }, ...(renamed ? [{ key: newName, exists: false }] : [])],
        then: [{ type: 'put', key, value }, ...(renamed ? rename : [])],
      });
      if (result.succeeded) return this.get(id);
      if (renamed && (await this.#store.get(newName)) !== undefined) throw this.#nameTaken(next.name);
    }
    throw new SkerryError('conflict', `The ${this.#word} ${id} changes too fast to be changed`, {
      remedy: 'See who changes it all the time: `skerry events -f`.',
      details: { attempts: MAX_UPDATE_ATTEMPTS },
    });
  }

  /** Resource and name go together. @throws SkerryError `not-found`, `conflict` */
  async delete(id: string, { ifRevision }: Precondition = {}): Promise<void> {
    for (let attempt = 0; ; attempt += 1) {
      const current = await this.get(id);
      this.#assertRevision(current, ifRevision);
      const key = this.#prefix + id;
      const txn = {
        compare: [{ key, modRevision: current.revision }],
        then: [
          { type: 'delete', key },
          { type: 'delete', key: this.#nameKey(current.project, current.name) },
        ],
      } as const;
      if (attempt === MAX_UPDATE_ATTEMPTS) return void (await commit(this.#store, txn));
      if ((await this.#store.txn(txn)).succeeded) return;
    }
  }

  /** Every change from a revision on; ends with the signal. @throws StoreCompactedError: list again, and go on there */
  async *watch(query: {
    fromRevision: number;
    signal?: AbortSignal | undefined;
  }): AsyncGenerator<ResourceEvent<Resource<TSpec, TStatus>>, void, void> {
    for await (const event of this.#store.watch({ prefix: this.#prefix, ...query })) {
      const id = event.key.slice(this.#prefix.length);
      const { revision } = event;
      if (event.type === 'delete') yield { type: 'delete', revision, id };
      else yield { type: 'put', revision, id, resource: this.#parse(event.entry) };
    }
  }

  #parse(entry: StoreEntry): Resource<TSpec, TStatus> {
    const known = this.#parsed.get(entry);
    if (known !== undefined) return known;
    const stored = JSON.parse(entry.value) as Omit<Resource<TSpec, TStatus>, 'revision'>;
    // Shared by all who read it, so nobody may change it.
    const resource = deepFreeze({ ...stored, revision: entry.modRevision }) as Resource<TSpec, TStatus>;
    this.#parsed.set(entry, resource);
    return resource;
  }

  #assertRevision(current: Resource<TSpec, TStatus>, ifRevision: number | undefined): void {
    if (ifRevision === undefined || current.revision === ifRevision) return;
    throw new SkerryError('conflict', `The ${this.#word} '${current.name}' was changed meanwhile`, {
      remedy: 'Look at it again, then repeat the change if it is still wanted.',
      details: { id: current.id, revision: current.revision, ifRevision },
    });
  }

  #nameKey(project: string, name: string): string {
    return `${this.#names}${project}/${name}`;
  }

  #nameTaken(name: string): SkerryError {
    return new SkerryError('conflict', `There is a ${this.#word} '${name}' already`, {
      remedy: `Choose another name, or delete or rename the ${this.#word} that has it.`,
      details: { kind: this.#kind, name },
    });
  }

  #notFound(ref: string): SkerryError {
    return new SkerryError('not-found', `There is no ${this.#word} '${ref}'`, {
      remedy: `See what there is: \`skerry ${this.#kind === 'vm' ? '' : `${this.#kind} `}list\`.`,
      details: { kind: this.#kind, ref },
    });
  }
}

export function refOf({ kind, id, name }: ResourceHeader): ResourceRef {
  return { kind, id, name };
}

/** The revision is the entry's own: a copy inside would be wrong at once. */
function encode(resource: Resource): string {
  const { revision: _, ...stored } = resource;
  return JSON.stringify(stored);
}

function deepFreeze(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value;
  for (const member of Object.values(value)) deepFreeze(member);
  return Object.freeze(value);
}
