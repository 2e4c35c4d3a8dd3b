import { SkerryError } from '@skerry/api';
import { daemonPaths } from '../packages/daemon/src/paths.ts';
import { buildInitrd, buildKernel } from '../packages/engine/src/images/index.ts';

/** Makes both guest kernels ahead of the tests, so that no test waits for a build. Kept in the cache by their inputs' hash. */

async function prepare(kind: 'micro' | 'distro'): Promise<void> {
  const { images } = await daemonPaths();
  let shown = '';
  const onProgress = (message: string, fraction?: number): void => {
    const line = fraction === undefined ? message : `${message} ${Math.floor(fraction * 20) * 5}%`;
    if (line !== shown) process.stderr.write(`${kind} kernel: ${line}\n`);
    shown = line;
  };
  const kernel = await buildKernel(images, kind, { onProgress });
  await buildInitrd(images, kernel, { onProgress });
}

try {
  await prepare('distro');
  await prepare('micro');
} catch (error) {
  const problem = SkerryError.from(error);
  process.stderr.write(`${problem.message}\n${problem.remedy ?? ''}\n`);
  process.exit(problem.exitCode);
}
