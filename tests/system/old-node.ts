import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { nodeFromNpm } from '../../scripts/package/npm-node.ts';

/** The oldest major version of Node that the client is for: the system's if it is one, else from npm. */
const MAJOR = '20';

export async function oldNode(): Promise<string> {
  for (const path of ['/usr/bin/node', '/usr/local/bin/node']) {
    const { stdout } = await promisify(execFile)(path, ['--version']).catch(() => ({ stdout: '' }));
    if (stdout.startsWith(`v${MAJOR}.`)) return path;
  }
  return (await nodeFromNpm(MAJOR)).binary;
}
