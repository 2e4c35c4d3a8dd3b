import { openGenerations } from './generation.ts';

/**
 * A capture's file as one pcap stream of whole records, as it is now: also while it is written and its generations turn.
 * @throws Error (ENOENT and the like) when there is none
 */
export async function* readCapture(path: string): AsyncGenerator<Buffer> {
  await using undo = new AsyncDisposableStack();
  const { older, newer } = await openGenerations(path);
  undo.use(newer);
  if (older !== undefined) {
    undo.use(older);
    yield* older.records(true);
  }
  yield* newer.records(older === undefined);
}
