/** What the Debian package is made of, as texts and lists computed from data. */

/** package-lock.json's `packages`: by path, '' and packages/X and node_modules/... */
export type LockPackages = Readonly<
  Record<
    string,
    {
      readonly link?: boolean;
      readonly resolved?: string;
      readonly dependencies?: Readonly<Record<string, string>>;
      readonly optionalDependencies?: Readonly<Record<string, string>>;
      readonly license?: string;
      readonly version?: string;
    }
  >
>;

/**
 * The paths of all that `roots` need to run, roots and packages of ours included, sorted. Found as Node finds them: from
 * the package's folder upwards.
 */
export function closure(packages: LockPackages, roots: readonly string[]): string[] {
  const found = new Set<string>();
  const queue = [...roots];
  for (let path = queue.pop(); path !== undefined; path = queue.pop()) {
    if (found.has(path)) continue;
    found.add(path);
    const { dependencies, optionalDependencies } = packages[path] ?? {};
    for (const name of Object.keys({ ...dependencies, ...optionalDependencies })) {
      const at = resolve(packages, path, name);
      if (at !== undefined) queue.push(at);
      else if (dependencies?.[name] !== undefined)
        throw new Error(`${path} needs ${name}, which is not in the lock file`);
    }
  }
  return [...found].toSorted();
}

function resolve(packages: LockPackages, from: string, name: string): string | undefined {
  for (let folder = from; ; folder = folder.replace(/(?:^|\/)[^/]*$/, '')) {
    const path = `${folder === '' ? '' : `${folder}/`}node_modules/${name}`;
    const entry = packages[path];
    if (entry !== undefined) return entry.link === true ? entry.resolved : path;
    if (folder === '') return undefined;
  }
}

/** Directly in the package: further down a folder of such a name may be code (yaml's dist/doc is). */
const LEFT_OUT_FOLDERS = /(?:^|\/)\.|^(?:tests?|__tests__|bench(?:marks?)?|docs?|examples?|coverage)\//;
const KEPT_FILES = /(?:\.(?:js|cjs|mjs|json|node|wasm)|(?:^|\/)(?:licen[cs]e|notice|copying)[^/]*)$/i;

/** Whether a file of an npm package is there to run it, or to tell its licence; types, tests and texts are not. */
export function isNeeded(path: string): boolean {
  return KEPT_FILES.test(path) && !LEFT_OUT_FOLDERS.test(path) && !/\.test\.|(?:^|\/)package-lock\.json$/.test(path);
}

/** scripts/packages.txt by its headings: the distribution's packages that it takes to run and to build. */
export function packageGroups(text: string): Map<string, string[]> {
  const groups = new Map<string, string[]>();
  let names: string[] = [];
  for (const line of text.split('\n')) {
    const heading = /^# ([a-z].*)$/.exec(line)?.[1];
    if (heading !== undefined) groups.set(heading, (names = []));
    const name = /^([a-z0-9][a-z0-9.+-]+)\s/.exec(line)?.[1];
    if (name !== undefined) names.push(name);
  }
  return groups;
}

type Role = 'Depends' | 'Recommends' | 'at build';

/** What the headings of scripts/packages.txt are to who installs the package. */
const ROLES: Readonly<Record<string, Role>> = {
  'running VMs': 'Depends',
  'making images': 'Depends',
  "confining VMs by the kernel's own policies, where it has them": 'Recommends',
  'reaching into VMs, and its tests': 'Recommends',
  'networks of the kernel datapath': 'Recommends',
  'compiling the guest kernel': 'Recommends',
  'compiling native/ (agent, vmjail), besides gcc': 'at build',
  'compiling policies in tests': 'at build',
};

/** Node's own: BUILDING.md of Node 24 asks for glibc 2.28 and the libstdc++ of GCC 8. */
const NODE_DEPENDS = ['libc6 (>= 2.28)', 'libstdc++6 (>= 8)'];

export interface ControlFacts {
  readonly version: string;
  readonly architecture: string;
  readonly installedKib: number;
  /** The text of scripts/packages.txt. */
  readonly packages: string;
}

export function controlFile({ version, architecture, installedKib, packages }: ControlFacts): string {
  const groups = [...packageGroups(packages)].filter(([, names]) => names.length > 0);
  const unknown = groups.find(([heading]) => ROLES[heading] === undefined);
  if (unknown !== undefined) throw new Error(`What is '${unknown[0]}' of scripts/packages.txt to the Debian package?`);
  const of = (role: Role): string[] => groups.flatMap(([heading, names]) => (ROLES[heading] === role ? names : []));
  const depends = of('Depends').map((name) => (name === 'qemu-system-x86' ? `${name} (>= 1:7.2)` : name));
  return [
    'Package: skerry',
    `Version: ${version}`,
    `Architecture: ${architecture}`,
    'Maintainer: The Skerry authors <skerry@localhost>',
    `Installed-Size: ${installedKib}`,
    `Depends: ${[...NODE_DEPENDS, ...depends].join(', ')}`,
    `Recommends: ${of('Recommends').join(', ')}`,
    'Section: admin',
    'Priority: optional',
    'Description: micro-VMs and the networks between them',
    ' Skerry runs virtual machines on QEMU, with KVM or without, and combines them',
    ' into nodes: any number of machines that are declared in a file, started with',
    ' one command, forked and restored as one. Micro-VMs start in a fraction of a',
    ' second. It brings the version of Node that it runs on.',
    ' .',
    ' The recommended packages build the kernel of micro-VMs. Without them they run',
    " with the distribution's, and start slower.",
    '',
  ].join('\n');
}

export interface Licence {
  readonly path: string;
  readonly name: string;
  readonly text: string;
}

/** /usr/share/doc/skerry/copyright. */
export function copyrightFile(ours: string, licences: readonly Licence[]): string {
  const parts = licences.map(({ path, name, text }) => [`${path}: ${name}`, '', text.trim()].join('\n'));
  return [
    ours.trim(),
    "guest/micro-kernel.patch changes the Linux kernel and is licensed under GPL-2.0-only, the kernel's licence\n(/usr/share/common-licenses/GPL-2).",
    'What comes with it, below /usr/lib/skerry:',
    ...parts,
    '',
  ].join(`\n\n${'-'.repeat(80)}\n\n`);
}
