import { appendFile, open, type FileHandle } from 'node:fs/promises';

/** Starts each run in the console's log: what stands before it is an earlier run's. */
const RUN_MARK = '[skerry] started ';
/** The end of a console in which the reason of an exit is looked for. */
const TAIL_BYTES = 16 * 1024;
/** Kept of a log that is cut, so that its last words stay readable. */
const KEPT_BYTES = 64 * 1024;

/** Marks the start of a run. Made 0600: a console shows what a guest's owner typed. */
export async function markRun(consoleLog: string, nowMs: number): Promise<void> {
  await appendFile(consoleLog, `${RUN_MARK}${new Date(nowMs).toISOString()}\r\n`, { mode: 0o600 });
}

/** The end of what the guest has written in its last run; '' when there is no log. */
export async function lastRun(consoleLog: string): Promise<string> {
  const text = await tail(consoleLog, TAIL_BYTES);
  const mark = text.lastIndexOf(RUN_MARK);
  return mark === -1 ? text : text.slice(text.indexOf('\n', mark) + 1);
}

/**
 * Cuts a log that has outgrown `maxBytes` in place, keeping its end. Its writer goes on meanwhile: it appends, so it needs
 * no telling (what it writes within this moment may stand before the kept end).
 */
export async function capLog(path: string, maxBytes: number): Promise<void> {
  await using file = await openIfThere(path, 'r+');
  if (file === undefined) return;
  const { size } = await file.stat();
  if (size <= maxBytes) return;
  const kept = await readTail(file, size, Math.min(KEPT_BYTES, maxBytes));
  await file.truncate(0);
  await appendFile(path, kept);
}

async function tail(path: string, bytes: number): Promise<string> {
  await using file = await openIfThere(path, 'r');
  if (file === undefined) return '';
  const { size } = await file.stat();
  return (await readTail(file, size, bytes)).toString('latin1');
}

async function readTail(file: FileHandle, size: number, bytes: number): Promise<Buffer> {
  const length = Math.min(size, bytes);
  const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, size - length);
  return buffer.subarray(0, bytesRead);
}

async function openIfThere(path: string, flags: string): Promise<FileHandle | undefined> {
  try {
    return await open(path, flags);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
