import { storeContract } from '@skerry/testkit/store-contract';
import { afterAll } from 'vitest';
import { TemporaryStores } from './temporary-store.ts';

const stores = new TemporaryStores();
afterAll(() => stores[Symbol.asyncDispose]());

storeContract('sqlite', () => stores.open());
