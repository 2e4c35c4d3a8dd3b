import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmod, cp, glob, lstat, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';
import { COMMANDS } from '../../packages/cli/src/commands/index.ts';
import { COMPLETION_SCRIPTS } from '../../packages/cli/src/completion/scripts.ts';
import { unitText } from '../../packages/daemon/src/offline/unit-plan.ts';
import { compiled, ROOT } from './compile.ts';
import { closure, controlFile, copyrightFile, isNeeded, type Licence, type LockPackages } from './deb-plan.ts';
import { manPage } from './man-plan.ts';
import { nodeFromNpm } from './npm-node.ts';

/**
 * The Debian package: the programs built, what they need from npm, and a Node of their own, in the same order below
 * /usr/lib/skerry as in the repository, so that each finds the others as it does there.
 */

const run = promisify(execFile);

/** Named to the last digit: the same source gives the same bytes. */
const NODE_VERSION = '24.21.0';
const PROGRAMS = ['packages/cli', 'packages/daemon'];
const LIB = 'usr/lib/skerry';
const SETTINGS = 'etc/default/skerry';
/** Where each shell looks for those of packages (bash-completion's README, zsh's Debian package, fish's `fish_complete_path`). */
const COMPLETION_FILES = {
  bash: 'usr/share/bash-completion/completions/skerry',
  zsh: 'usr/share/zsh/vendor-completions/_skerry',
  fish: 'usr/share/fish/vendor_completions.d/skerry.fish',
} as const;
/** As old as a file in a package may be: tar warns of what is before 1980. */
const NO_DATE = 315_532_800;

export interface DebOptions {
  /** Where the package goes. */
  readonly to: string;
  /** Seconds since 1970 that files get which were made later. */
  readonly epoch: number;
  /** 1 is quick, 19 small. */
  readonly compression?: number;
}

/** @returns its path */
export async function buildDeb({ to, epoch, compression = 10 }: DebOptions): Promise<string> {
  const { version } = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8')) as { version: string };
  const architecture = (await run('dpkg', ['--print-architecture'])).stdout.trim();
  const stage = await mkdtemp(join(tmpdir(), 'skerry-deb-'));
  try {
    const licences = [...(await putPrograms(stage)), ...(await putNode(stage))];
    await putSystemFiles(stage, { version, date: new Date(epoch * 1000).toISOString().slice(0, 10), licences });
    await putControl(stage, { version, architecture });
    await normaliseModes(stage);
    const file = join(to, `skerry_${version}_${architecture}.deb`);
    // dpkg-deb(1): sorts, and takes the dates of files that are newer than SOURCE_DATE_EPOCH to be that. The number of
    // threads could show in the bytes.
    const how = ['--root-owner-group', '--threads-max=2', '-Zzstd', `-z${compression}`];
    await run('dpkg-deb', [...how, '--build', stage, file], {
      env: { ...process.env, SOURCE_DATE_EPOCH: String(epoch) },
    });
    return file;
  } finally {
    await rm(stage, { recursive: true, force: true });
  }
}

/** SOURCE_DATE_EPOCH (reproducible-builds.org), else the time of the last commit, else none. */
export async function sourceEpoch(env: NodeJS.ProcessEnv = process.env): Promise<number> {
  const given = env['SOURCE_DATE_EPOCH'];
  if (given !== undefined && /^\d+$/.test(given)) return Number(given);
  const { stdout } = await run('git', ['-C', ROOT, 'log', '-1', '--format=%ct']).catch(() => ({ stdout: '' }));
  return stdout.trim() === '' ? NO_DATE : Number(stdout);
}

/** Our packages built, theirs as installed, and what is beside them in the repository. */
async function putPrograms(stage: string): Promise<Licence[]> {
  const lib = join(stage, LIB);
  const lock = JSON.parse(await readFile(join(ROOT, 'package-lock.json'), 'utf8')) as { packages: LockPackages };
  const paths = closure(lock.packages, PROGRAMS);
  const ours = paths.filter((path) => path.startsWith('packages/'));
  const theirs = paths.filter((path) => path.startsWith('node_modules/'));
  await mkdir(join(lib, 'node_modules/@skerry'), { recursive: true });
  await compiled('tsconfig.build.json', async (output) => {
    for (const path of ours) {
      const name = path.slice('packages/'.length);
      await copyFiltered(join(output, name, 'src'), join(lib, path, 'dist'), (file) => file.endsWith('.js'));
      await writeFile(join(lib, path, 'package.json'), await builtManifest(join(ROOT, path, 'package.json')));
      await symlink(`../../${path}`, join(lib, 'node_modules/@skerry', name));
    }
  });
  const licences: Licence[] = [];
  for (const path of theirs) {
    await copyFiltered(join(ROOT, path), join(lib, path), (file) => !file.includes('node_modules/') && isNeeded(file));
    licences.push({ path, name: lock.packages[path]?.license ?? 'unknown', text: await licenceIn(join(ROOT, path)) });
  }
  for (const path of [
    'guest',
    'policies',
    'examples',
    'scripts/locate.sh',
    'native/build/agent',
    'native/build/vmjail',
  ]) {
    await cp(join(ROOT, path), join(lib, path), { recursive: true });
  }
  return licences;
}

async function putNode(stage: string): Promise<Licence[]> {
  const { binary, licence } = await nodeFromNpm(NODE_VERSION);
  await put(stage, `${LIB}/bin/node`, await readFile(binary));
  return [{ path: 'bin/node', name: `Node.js ${NODE_VERSION}`, text: await readFile(licence, 'utf8') }];
}

async function putSystemFiles(
  stage: string,
  { version, date, licences }: { version: string; date: string; licences: Licence[] },
): Promise<void> {
  const ours = (path: string): Promise<Buffer> => readFile(join(ROOT, path));
  await put(stage, 'usr/bin/skerry', await ours('packaging/debian/skerry'));
  await put(stage, `${LIB}/packaging/stop-all.mjs`, await ours('packaging/debian/stop-all.mjs'));
  await put(stage, 'usr/lib/systemd/system/skerryd.service', unit());
  await put(stage, SETTINGS, await ours('packaging/debian/default'));
  for (const [shell, path] of Object.entries(COMPLETION_FILES)) {
    await put(stage, path, COMPLETION_SCRIPTS[shell as keyof typeof COMPLETION_FILES]);
  }
  const page = manPage(COMMANDS, version, date);
  await put(stage, 'usr/share/man/man1/skerry.1.gz', gzipSync(page, { level: 9 }));
  const copyright = copyrightFile((await ours('LICENSE')).toString(), licences);
  await put(stage, 'usr/share/doc/skerry/copyright', copyright);
  await put(stage, 'usr/share/doc/skerry/changelog.gz', gzipSync(await ours('CHANGELOG.md'), { level: 9 }));
}

function unit(): string {
  return unitText({
    scope: 'system',
    argv: [`/${LIB}/bin/node`, '--disable-warning=ExperimentalWarning', `/${LIB}/packages/daemon/dist/main.js`],
    env: { NODE_COMPILE_CACHE: '/var/cache/skerry/compile-cache' },
    package: { name: 'skerry', environmentFile: `/${SETTINGS}` },
  });
}

async function putControl(stage: string, facts: { version: string; architecture: string }): Promise<void> {
  const files = await filesBelow(stage);
  let bytes = 0;
  const sums: string[] = [];
  for (const file of files) {
    const content = await readFile(join(stage, file));
    bytes += content.length;
    sums.push(`${createHash('md5').update(content).digest('hex')}  ${file}\n`);
  }
  const packages = await readFile(join(ROOT, 'scripts/packages.txt'), 'utf8');
  await put(stage, 'DEBIAN/control', controlFile({ ...facts, installedKib: Math.ceil(bytes / 1024), packages }));
  await put(stage, 'DEBIAN/md5sums', sums.join(''));
  await put(stage, 'DEBIAN/conffiles', `/${SETTINGS}\n`);
  for (const script of ['postinst', 'prerm', 'postrm']) {
    await put(stage, `DEBIAN/${script}`, await readFile(join(ROOT, 'packaging/debian', script)));
  }
}

/** A package's manifest without what only the repository has: the source, and tools of its development. */
async function builtManifest(path: string): Promise<string> {
  const { name, version, type, exports } = JSON.parse(await readFile(path, 'utf8')) as {
    name: string;
    version: string;
    type: string;
    exports: Record<string, { default: string }>;
  };
  const built = Object.fromEntries(Object.entries(exports).map(([entrance, to]) => [entrance, to.default]));
  return `${JSON.stringify({ name, version, type, exports: built }, null, 2)}\n`;
}

async function copyFiltered(from: string, to: string, isWanted: (file: string) => boolean): Promise<void> {
  for await (const file of glob('**', { cwd: from })) {
    if (!isWanted(file) || !(await lstat(join(from, file))).isFile()) continue;
    await put(to, file, await readFile(join(from, file)));
  }
}

async function licenceIn(folder: string): Promise<string> {
  const name = (await readdir(folder)).toSorted().find((each) => /^(?:licen[cs]e|copying)/i.test(each));
  return name === undefined ? '' : await readFile(join(folder, name), 'utf8');
}

async function put(stage: string, path: string, content: string | Buffer): Promise<void> {
  await mkdir(dirname(join(stage, path)), { recursive: true });
  await writeFile(join(stage, path), content);
}

async function filesBelow(stage: string): Promise<string[]> {
  const files: string[] = [];
  for (const entry of await readdir(stage, { recursive: true, withFileTypes: true })) {
    if (entry.isFile()) files.push(join(entry.parentPath, entry.name).slice(stage.length + 1));
  }
  return files.toSorted();
}

/** Whoever builds, and with whatever umask. */
async function normaliseModes(stage: string): Promise<void> {
  await chmod(stage, 0o755);
  for (const entry of await readdir(stage, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    if (entry.isDirectory()) await chmod(path, 0o755);
    else if (entry.isFile()) await chmod(path, isProgram(path.slice(stage.length + 1)) ? 0o755 : 0o644);
  }
}

const isProgram = (file: string): boolean =>
  /^(?:usr\/bin\/|usr\/lib\/skerry\/(?:bin|native\/build)\/|DEBIAN\/(?:postinst|prerm|postrm)$)/.test(file);
