import { writeSync } from 'node:fs';
import { openSqliteStore } from '../../src/store/index.ts';

/** Writes keys until killed or the store is full, and says each that was acknowledged. argv: path, first key, bytes. */
const [path = '', first = '0', bytes = '1'] = process.argv.slice(2);
const store = await openSqliteStore({ path });
writeSync(1, 'open\n');
let next = Number(first);
const value = 'x'.repeat(Number(bytes));

async function write(): Promise<void> {
  for (;;) {
    const id = next++;
    await store.txn({
      then: [
        { type: 'put', key: `/a/${id}`, value },
        { type: 'put', key: `/b/${id}`, value },
      ],
    });
    // Synchronous: what was said is said, whatever happens next.
    writeSync(1, `${id}\n`);
  }
}

try {
  await Promise.all([write(), write(), write(), write()]);
} catch (error) {
  const { entries, revision } = await store.range({ prefix: '/', keysOnly: true });
  const { code, remedy } = error as { code: string; remedy: string };
  await store.txn({ then: [{ type: 'deletePrefix', prefix: '/a/' }] }).catch(() => undefined);
  await store.close();
  writeSync(1, `${JSON.stringify({ code, remedy, keys: entries.length, revision })}\n`);
}
