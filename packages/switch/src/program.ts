import { fileURLToPath } from 'node:url';

/** The command that runs this package's switch, from source or built, whichever this file is. */
export const SWITCH_ARGV: readonly [command: string, ...args: string[]] = import.meta.url.endsWith('.ts')
  ? [process.execPath, '--conditions=source', fileURLToPath(new URL('./main.ts', import.meta.url))]
  : [process.execPath, fileURLToPath(new URL('./main.js', import.meta.url))];
