import { accessSync, constants } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { dataDir } from '@skerry/sdk/daemon-process';
import type { Context } from '../../terminal/index.ts';
import { knownHostsDir, ownKey } from './files.ts';
import type { SshPaths } from './options.ts';

/** Where ssh finds us, and what is ours. */

export function sshDir(): string {
  return join(dataDir(), 'ssh');
}

/** Makes the key if there is none yet. */
export async function sshPaths(context: Context): Promise<SshPaths> {
  const dir = sshDir();
  const { privateKeyPath } = await ownKey(dir);
  const host = context.host ?? process.env['SKERRY_HOST'];
  const env = Object.fromEntries(
    ['SKERRY_DATA_DIR', 'SKERRY_RUNTIME_DIR'].flatMap((name) => {
      const value = process.env[name];
      return value === undefined || value === '' ? [] : [[name, value]];
    }),
  );
  return {
    launcher: launcher(),
    env: host === undefined || host === '' ? env : { ...env, SKERRY_HOST: host },
    privateKeyPath,
    knownHostsDir: knownHostsDir(dir),
  };
}

/** Unbuilt, the script beside our packages, which finds its Node by itself; packed, what we were started with. */
function launcher(): readonly string[] {
  const script = fileURLToPath(new URL('../../../../../skerry', import.meta.url));
  try {
    accessSync(script, constants.X_OK);
    return [script];
  } catch {
    return [process.execPath, ...process.execArgv, process.argv[1] ?? ''];
  }
}
