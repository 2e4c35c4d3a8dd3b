import { SkerryError } from '@skerry/api';
import { run } from './run.ts';
import { findTools } from './tools.ts';

/** The server of directories for virtiofs: whose it is, for each has options of its own. */
export interface Virtiofsd {
  readonly path: string;
  /** `qemu`: in C, a part of QEMU until 7.2. `rust`: the project of its own since then. */
  readonly kind: 'qemu' | 'rust';
  readonly version: string;
}

const VERSION_TIMEOUT_MS = 5000;

/**
 * @param env SKERRY_VIRTIOFSD names one that lies elsewhere than distributions put it
 * @throws SkerryError `unsupported` when there is none that we know how to use
 */
export async function findVirtiofsd(env: NodeJS.ProcessEnv = process.env): Promise<Virtiofsd> {
  const wanted = env['SKERRY_VIRTIOFSD'];
  const path = wanted ?? (await findTools()).get('virtiofsd');
  if (path === undefined) throw lacks('virtiofs needs virtiofsd, which is not installed on this host', undefined);
  const options = { okExitCodes: 'any', timeoutMs: VERSION_TIMEOUT_MS } as const;
  const said = await run([path, '--version'], options).catch((error: unknown) => {
    throw lacks(`${path} does not run, and virtiofs needs it: ${SkerryError.from(error).message}`, error);
  });
  const found = readVersion(`${said.stdout}\n${said.stderr}`);
  if (found === undefined) throw lacks(`${path} is no virtiofsd: it does not say its version as one does`, undefined);
  return { path, ...found };
}

/** 'virtiofsd version 7.2.22 (Debian ...)' is QEMU's, 'virtiofsd 1.13.2' the other one. */
export function readVersion(text: string): Omit<Virtiofsd, 'path'> | undefined {
  const [, word, version] = /^virtiofsd (version )?(\d+(?:\.\d+)+)/m.exec(text) ?? [];
  if (version === undefined) return undefined;
  return { kind: word === undefined ? 'rust' : 'qemu', version };
}

function lacks(message: string, cause: unknown): SkerryError {
  return new SkerryError('unsupported', message, {
    remedy:
      'Install it: apt-get install virtiofsd (Debian 13, Ubuntu 24.04; in Debian 12 it is in qemu-system-common). ' +
      'Or share by 9p, which needs nothing: leave `virtiofs` out.',
    ...(cause === undefined ? {} : { cause }),
  });
}
