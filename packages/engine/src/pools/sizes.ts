import { PoolSet } from '@skerry/api';
import { MapFile } from '../store/index.ts';

/** How many clones shall wait for each image, and of what shape. */
export class PoolSizes {
  readonly #file: MapFile<PoolSet>;

  constructor(path: string) {
    this.#file = new MapFile({ path, field: 'pools', parse: (value) => PoolSet.parse(value) });
  }

  /** In the order in which they were set first. */
  all(): Promise<ReadonlyMap<string, PoolSet>> {
    return this.#file.all();
  }

  /** @param wanted of size 0: none */
  set(image: string, wanted: PoolSet): Promise<void> {
    return this.#file.set(image, wanted.size === 0 ? undefined : wanted);
  }
}
