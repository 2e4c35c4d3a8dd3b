import type { Image, ImageBuildInput } from '@skerry/api/base';
import type { RunOptions, Skerry } from './client.ts';
import { loadRecipe } from './node-file/index.ts';

type TaskOptions = RunOptions & { readonly signal?: AbortSignal | undefined };

/** What VMs are made from. All methods throw SkerryError. */
export class Images {
  readonly #client: Skerry;

  constructor(client: Skerry) {
    this.#client = client;
  }

  async list(): Promise<Image[]> {
    return await this.#client.call('image.list');
  }

  /** @param image its name or digest @throws SkerryError `not-found` */
  async get(image: string): Promise<Image> {
    return await this.#client.call('image.get', { params: { image } });
  }

  /**
   * Builds `micro`, or an image from a recipe; what is built already from the same inputs is taken as it is.
   *
   *     await skerry.images.build('./web.recipe.yaml');
   *
   * @param target `micro`, the path of a recipe, or what `loadRecipe` has read
   */
  async build(
    target: string | Exclude<ImageBuildInput['target'], string>,
    { onProgress, onTask, signal, ...options }: TaskOptions & Partial<Omit<ImageBuildInput, 'target'>> = {},
  ): Promise<Image> {
    const meant = typeof target === 'string' && target !== 'micro' ? await loadRecipe(target) : target;
    const body = { ...options, target: meant } as ImageBuildInput;
    return await this.#client.run('image.build', { body, onProgress, onTask, signal });
  }

  /** @throws SkerryError `in-use` while a VM is made from it */
  async delete(image: string, options: TaskOptions = {}): Promise<void> {
    await this.#client.run('image.delete', { params: { image }, ...options });
  }
}
