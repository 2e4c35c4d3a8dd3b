import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';

/** The program of ping-df.c, for guests of any image. @returns its path */
export async function pingDf(dir: string): Promise<string> {
  const program = join(dir, 'ping-df');
  await promisify(execFile)('cc', ['-static', '-O2', '-o', program, join(import.meta.dirname, 'ping-df.c')]);
  return program;
}
