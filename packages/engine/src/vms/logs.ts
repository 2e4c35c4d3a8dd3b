import { SkerryError } from '@skerry/api';
import { capLog } from '../hypervisors/index.ts';
import type { LiveVm } from './live.ts';

/** QEMU appends to console and service log for ever: the files are cut in place, keeping their end. */

const CAP_BYTES = 4 * 2 ** 20;
const CHECK_MS = 15_000;

/** @returns what ends it */
export function keepLogsShort(
  running: () => Iterable<LiveVm>,
  onError: (error: SkerryError, what: string) => void,
): () => void {
  const cutAll = async (): Promise<void> => {
    for (const { machine } of running()) {
      for (const path of [machine.files.console, machine.files.service]) {
        await capLog(path, CAP_BYTES).catch((error: unknown) => onError(SkerryError.from(error), path));
      }
    }
  };
  const timer = setInterval(() => void cutAll(), CHECK_MS).unref();
  return () => clearInterval(timer);
}
