import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdir, readFile, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { parseArgs, promisify } from 'node:util';
import { formatBytes } from '@skerry/api';
import { ROOT } from './compile.ts';
import { buildDeb, sourceEpoch } from './deb.ts';

/**
 * npm run package [-- client|deb] [--to DIRECTORY]: what is installed, into dist/. `client` is the npm package (the same
 * as `npm pack -w skerry`), `deb` the Debian package; both by default. The same source gives the same bytes.
 */

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { to: { type: 'string', default: join(ROOT, 'dist') }, compression: { type: 'string', default: '10' } },
});
const wanted = positionals.length === 0 ? ['client', 'deb'] : positionals;
const unknown = wanted.find((each) => each !== 'client' && each !== 'deb');
if (unknown !== undefined) {
  process.stderr.write(`There is no package '${unknown}'; write client, deb, or nothing for both\n`);
  process.exit(2);
}
const to = resolve(values.to);
await mkdir(to, { recursive: true });
const made: string[] = [];
if (wanted.includes('client')) {
  const { stdout } = await promisify(execFile)('npm', ['pack', '--silent', '-w', 'skerry', '--pack-destination', to], {
    cwd: ROOT,
  });
  made.push(join(to, stdout.trim().split('\n').at(-1) ?? ''));
}
if (wanted.includes('deb')) {
  made.push(await buildDeb({ to, epoch: await sourceEpoch(), compression: Number(values.compression) }));
}
for (const file of made) {
  const sum = createHash('sha256')
    .update(await readFile(file))
    .digest('hex');
  console.log(`${sum}  ${file}  ${formatBytes((await stat(file)).size)}`);
}
