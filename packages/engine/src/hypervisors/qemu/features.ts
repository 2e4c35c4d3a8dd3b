import { run, type Argv } from '../../hosts/index.ts';
import { identityOf } from './identity.ts';

/** What this QEMU can do that 7.2 can not; asked of its own help texts, once per binary. */
export interface QemuFeatures {
  /** 8.2: memory of its own over a file that it opens to read only (`rom=off` beside `readonly=on`; qapi/qom.json). */
  readonly readOnlyBacking: boolean;
  /** 9.0: saved memory with a place for each page, so the file is at most as large as the memory (migration/mapped-ram.rst). */
  readonly mappedRam: boolean;
}

export const NO_FEATURES: QemuFeatures = { readOnlyBacking: false, mappedRam: false };

const PROBE_TIMEOUT_MS = 10_000;

const known = new Map<string, Promise<QemuFeatures>>();

export async function qemuFeatures(binary: string): Promise<QemuFeatures> {
  const identity = await identityOf(binary);
  const found = known.get(identity);
  if (found !== undefined) return found;
  const asked = probe(binary);
  known.set(identity, asked);
  // Whatever kept it from answering may be over the next time.
  asked.catch(() => known.delete(identity));
  return asked;
}

async function probe(binary: string): Promise<QemuFeatures> {
  const [backing, migration] = await Promise.all([
    helpOf([binary, '-object', 'memory-backend-file,help']),
    helpOf([binary, '-M', 'none', '-device', 'migration,help']),
  ]);
  return { readOnlyBacking: /^\s*rom=/m.test(backing), mappedRam: /^\s*mapped-ram=/m.test(migration) };
}

async function helpOf(argv: Argv): Promise<string> {
  return (await run(argv, { timeoutMs: PROBE_TIMEOUT_MS, okExitCodes: 'any' })).stdout;
}
