import { BackupCreate, BundleCreate, BundleLoad } from '@skerry/api';
import { assertWritable } from '@skerry/engine';
import type { Platform } from '../platform.ts';
import { workOf, type Handlers } from './routes.ts';

export type KeepPlatform = Pick<Platform, 'backup' | 'images'>;

/** Backups and bundles. The daemon reads and writes the files itself: their bytes pass neither through it nor through its socket. */
export function keepHandlers({ backup, images }: KeepPlatform, version: string): Handlers {
  return {
    answers: {},
    works: {
      'daemon.backup': async (request) => {
        const wanted = BackupCreate.parse(request.body);
        await assertWritable(wanted.to, wanted.force);
        return { description: `Back up to ${wanted.to}`, run: (context) => backup(wanted, version, workOf(context)) };
      },
      'bundle.create': async (request) => {
        const wanted = BundleCreate.parse(request.body);
        await assertWritable(wanted.to, wanted.force);
        return {
          description: `Write the bundle ${wanted.to}`,
          run: (context) => images.createBundle(wanted, version, workOf(context)),
        };
      },
      'bundle.load': async (request) => {
        const { from } = BundleLoad.parse(request.body);
        return { description: `Load the bundle ${from}`, run: (context) => images.loadBundle(from, workOf(context)) };
      },
    },
  };
}
