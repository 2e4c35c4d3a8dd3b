import type { Pool, Template, TemplateBuild, TemplatePolicy } from '@skerry/api/base';
import type { RunOptions, Skerry } from './client.ts';

type TaskOptions = RunOptions & { readonly signal?: AbortSignal | undefined };

export interface BuildTemplateOptions extends TaskOptions, Partial<Omit<TemplateBuild, 'image'>> {}

/** Booted machines, frozen, that VMs are cloned from. All methods throw SkerryError. */
export class Templates {
  readonly #client: Skerry;

  constructor(client: Skerry) {
    this.#client = client;
  }

  async list(): Promise<Template[]> {
    return await this.#client.call('template.list');
  }

  /** @param id or its first characters @throws SkerryError `not-found` */
  async get(id: string): Promise<Template> {
    return await this.#client.call('template.get', { params: { template: id } });
  }

  /** Makes the template of an image and shape now, instead of at its first start; one that is there is taken. */
  async build(image: string, { onProgress, onTask, signal, ...shape }: BuildTemplateOptions = {}): Promise<Template> {
    return await this.#client.run('template.build', { body: { image, ...shape }, onProgress, onTask, signal });
  }

  /** Lets go of its memory; its clones go on. */
  async delete(id: string, options: TaskOptions = {}): Promise<void> {
    await this.#client.run('template.delete', { params: { template: id }, ...options });
  }

  /** Deletes those that were not used for so long; all by default. */
  async prune({ unusedForMs, ...options }: TaskOptions & { readonly unusedForMs?: number } = {}): Promise<{
    deleted: string[];
    freedBytes: number;
  }> {
    const body = unusedForMs === undefined ? {} : { unusedForMs };
    return await this.#client.run('template.prune', { body, ...options });
  }

  /** Whether VMs of an image are cloned: at the first start of a shape (`auto`), made ahead of it (`eager`), or `never`. */
  async setPolicy(image: string, policy: TemplatePolicy): Promise<void> {
    await this.#client.call('template.policy', { params: { image }, body: { policy } });
  }
}

/** Clones that wait to be used. */
export class Pools {
  readonly #client: Skerry;

  constructor(client: Skerry) {
    this.#client = client;
  }

  async list(): Promise<Pool[]> {
    return await this.#client.call('pool.list');
  }

  /** @param size how many wait; 0 removes the pool */
  async set(
    image: string,
    size: number,
    shape: { readonly cpus?: number; readonly memoryMib?: number } = {},
  ): Promise<Pool> {
    return await this.#client.call('pool.set', { params: { image }, body: { size, ...shape } });
  }
}
