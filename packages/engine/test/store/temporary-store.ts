import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openSqliteStore, type FileStore, type SqliteStoreOptions } from '../../src/store/index.ts';

/** Directories and stores of one test file, all gone after it. */
export class TemporaryStores implements AsyncDisposable {
  readonly #stack = new AsyncDisposableStack();

  async path(): Promise<string> {
    const dir = await mkdtemp(join(tmpdir(), 'skerry-store-'));
    this.#stack.defer(() => rm(dir, { recursive: true, force: true }));
    return join(dir, 'state', 'store.db');
  }

  async open(options: Partial<SqliteStoreOptions> = {}): Promise<FileStore> {
    return this.#stack.use(await openSqliteStore({ path: options.path ?? (await this.path()), ...options }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}
