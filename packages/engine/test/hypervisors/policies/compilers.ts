import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { run, type Argv } from '../../../src/hosts/index.ts';

/** The policy compilers of the distribution: they need no kernel that has AppArmor or SELinux. */

/** Compiles as for a start, and stops before the kernel. */
export const NOT_TO_THE_KERNEL: Argv = ['apparmor_parser', '--skip-kernel-load', '--skip-read-cache'];

export const hasParser = (): Promise<boolean> => has('apparmor', ['apparmor_parser', '--version']);
export const hasSecilc = (): Promise<boolean> => has('secilc', ['secilc', '--version']);

async function has(packageName: string, argv: Argv): Promise<boolean> {
  const there = await run(argv, { okExitCodes: 'any' }).then(
    () => true,
    () => false,
  );
  if (!there) process.stderr.write(`skipped: policies are not compiled, apt-get install ${packageName}\n`);
  return there;
}

/** What the parser says against it; '' when it compiles. */
export async function compilesProfile(text: string): Promise<string> {
  const options = { input: text, okExitCodes: 'any' } as const;
  const { exitCode, stderr } = await run([...NOT_TO_THE_KERNEL, '--replace'], options);
  return exitCode === 0 ? '' : stderr;
}

/** What secilc says against these files together, exceptions to `neverallow` among it; '' when they make a policy. */
export async function compilesPolicy(files: readonly string[], more: string): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'skerry-cil-'));
  try {
    await writeFile(join(dir, 'more.cil'), more);
    const output = ['-o', join(dir, 'policy'), '-f', join(dir, 'contexts')];
    const argv: Argv = ['secilc', '-M', 'true', ...output, ...files, join(dir, 'more.cil')];
    const { exitCode, stdout, stderr } = await run(argv, { okExitCodes: 'any' });
    return exitCode === 0 ? '' : stdout + stderr || 'failed';
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}
