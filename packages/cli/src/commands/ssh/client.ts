import { spawn } from 'node:child_process';
import { SkerryError } from '@skerry/api/base';

/** Runs the ssh client of this machine on our terminal. @returns its exit code, which is the guest's command's */
export function runSsh(args: readonly string[]): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = spawn('ssh', args, { stdio: 'inherit' });
    child.once('error', (error: NodeJS.ErrnoException) => {
      reject(error.code === 'ENOENT' ? noClient() : error);
    });
    child.once('exit', (exitCode) => resolve(exitCode ?? 255));
  });
}

function noClient(): SkerryError {
  return new SkerryError('unsupported', 'This machine has no ssh client', {
    remedy: 'Install one (Debian: apt-get install openssh-client); `skerry shell` and `skerry exec` need none.',
  });
}
