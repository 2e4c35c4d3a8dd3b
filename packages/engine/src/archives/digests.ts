import { run } from '../hosts/index.ts';

/** Of one call of sha256sum: its command line stays short. */
const PATHS_A_CALL = 200;

/** SHA-256 of files, in their order; computed by a process of their own. */
export async function digestsOf(paths: readonly string[], signal?: AbortSignal): Promise<string[]> {
  const digests: string[] = [];
  for (let at = 0; at < paths.length; at += PATHS_A_CALL) {
    // -z: a line per file without escapes, whatever its path is.
    const { stdout } = await run(
      ['sha256sum', '-z', '--', ...paths.slice(at, at + PATHS_A_CALL)],
      signal === undefined ? {} : { signal },
    );
    digests.push(...stdout.split('\0').flatMap((line) => (line === '' ? [] : [line.slice(0, 64)])));
  }
  return digests;
}
