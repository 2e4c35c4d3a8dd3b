import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { SkerryError } from '@skerry/api/base';

/** 1 MiB instead of 16 for what has just been made: a daemon that idles takes 8 MiB less than with 4, and those 9 less than with 16. */
const YOUNG_OBJECTS = '--max-semi-space-size=1';

/**
 * Arguments with which Node runs a program of the daemon's package: in the repository unbuilt, beside us; packed, it is a
 * package of its own.
 * @throws SkerryError `unavailable` when the package is not there
 */
export function daemonProgram(name: 'main' | 'offline/main'): string[] {
  const unbuilt = import.meta.url.endsWith('.ts');
  const entry = fileURLToPath(
    new URL(unbuilt ? `../../../daemon/src/${name}.ts` : `../../../daemon/dist/${name}.js`, import.meta.url),
  );
  if (!existsSync(entry)) {
    throw new SkerryError('unavailable', `The daemon is not installed: there is no ${entry}`, {
      remedy: 'Install Skerry anew, or name a running daemon with --host.',
    });
  }
  const flags = name === 'main' ? [YOUNG_OBJECTS] : [];
  return unbuilt ? ['--conditions=source', ...flags, entry] : [...flags, entry];
}
