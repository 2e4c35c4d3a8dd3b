import { SkerryError, type ErrorBody } from '@skerry/api';
import { BACKUP, openArchive, restoreBackup } from '@skerry/engine';
import { z } from 'zod';
import { daemonPaths } from '../paths.ts';
import { install, InstallOptions, uninstall } from './install.ts';
import { checkUpgrade, UpgradeCheckOptions } from './upgrade-check.ts';

/**
 * What is done with the daemon's files while no daemon serves: the command line starts this program for it, as it starts the
 * daemon. Called with a verb and its options as JSON; writes one JSON value a line: progress, then the result or the error.
 */

export type OfflineLine =
  | { readonly progress: string; readonly fraction?: number | undefined }
  | { readonly result: unknown }
  | { readonly error: ErrorBody };

const RestoreOptions = z.strictObject({
  from: z.string(),
  force: z.boolean().default(false),
  checkOnly: z.boolean().default(false),
});

const VERBS: Readonly<Record<string, (options: unknown, signal: AbortSignal) => Promise<unknown>>> = {
  async restore(options, signal) {
    const { from, force, checkOnly } = RestoreOptions.parse(options);
    if (checkOnly) return void (await openArchive(from, BACKUP));
    const paths = await daemonPaths();
    const { imagesDir } = paths.images;
    const onProgress = (progress: string, fraction?: number): void => write({ progress, fraction });
    return restoreBackup({ from, force, dataDir: paths.dataDir, imagesDir }, { signal, onProgress });
  },
  async 'upgrade-check'(options) {
    const { dataDir, cacheDir } = await daemonPaths();
    return checkUpgrade(UpgradeCheckOptions.parse({ dataDir, cacheDir, ...(options as object) }));
  },
  install: (options) => install(InstallOptions.parse(options)),
  uninstall: (options) => uninstall(InstallOptions.pick({ scope: true }).parse(options)),
};

function write(line: OfflineLine): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

const [verb = '', options = '{}'] = process.argv.slice(2);
const cancelling = new AbortController();
process.on('SIGTERM', () => cancelling.abort());
try {
  const work = VERBS[verb];
  if (work === undefined) throw new SkerryError('internal', `There is no offline verb '${verb}'`);
  write({ result: await work(JSON.parse(options), cancelling.signal) });
} catch (error) {
  write({ error: SkerryError.from(error).toBody() });
}
