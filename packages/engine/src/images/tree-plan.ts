/** The pure half of a root file system's tree. */

/** Directories of the micro image; a mode where it is not 0755. */
export const SKELETON: ReadonlyArray<readonly [path: string, mode: number]> = [
  ...['dev', 'etc', 'home', 'media', 'mnt', 'opt', 'proc', 'run', 'srv', 'sys', 'usr', 'usr/bin', 'usr/sbin', 'usr/lib']
    .concat(['usr/lib64', 'usr/local', 'usr/local/bin', 'usr/local/sbin', 'usr/share', 'var', 'var/cache', 'var/lib'])
    .concat(['var/log', 'var/mail', 'var/spool', 'var/www'])
    .map((path) => [path, 0o755] as const),
  ['root', 0o700],
  ['tmp', 0o1777],
  ['var/tmp', 0o1777],
];

export const SKELETON_LINKS: ReadonlyArray<readonly [path: string, target: string]> = [
  ['var/run', '/run'],
  ['var/lock', '/run/lock'],
];

/**
 * What says who a machine is, the agent keeps in /run/skerry: the same in the root file system costs a clone 30 ms. These
 * targets are the agent's (native/agent/names.c), which copies its text over any other file of the name.
 */
export const NAME_LINKS: ReadonlyArray<readonly [path: string, target: string]> = [
  'hostname',
  'hosts',
  'machine-id',
  'resolv.conf',
].map((name) => [`etc/${name}`, `/run/skerry/${name}`]);

/**
 * Unpacks packages into a tree: `sh -c UNPACK_SCRIPT sh TREE DEB...`, a line of output per package. One process, because
 * fakeroot takes two seconds to write its books at the end of each. Packages still carry /bin and /lib, and dpkg-deb would
 * put a directory in the place of a link: so the links of Debian's merged /usr come last. Documents and translations go,
 * as nobody reads them in a micro-VM; the packages' licences stay, they travel with the software.
 */
export const UNPACK_SCRIPT = `
set -eu
tree=$1
shift
for deb in "$@"; do
  dpkg-deb --extract "$deb" "$tree"
  echo "$deb"
done
for name in bin sbin lib lib64; do
  if [ -d "$tree/$name" ]; then
    cp -a -- "$tree/$name/." "$tree/usr/$name"
    rm -rf -- "$tree/$name"
  fi
  ln -s "usr/$name" "$tree/$name"
done
for name in bug info lintian locale man; do
  rm -rf -- "$tree/usr/share/$name"
done
mkdir -p "$tree/usr/share/doc"
find "$tree/usr/share/doc" -type f ! -name copyright -delete
`;

/** Our agent is PID 1 and changes the root itself. */
const NO_APPLETS: ReadonlySet<string> = new Set(['busybox', 'init', 'linuxrc', 'run-init', 'switch_root']);

/**
 * Which links to busybox to make, from `busybox --list-full`. A real program of that name, wherever it is, stays the one
 * that is found.
 * @param present names in usr/bin and usr/sbin
 */
export function appletLinks(listFull: string, present: ReadonlySet<string>): Array<{ path: string; target: string }> {
  return listFull
    .split('\n')
    .map((line) => line.trim().replace(/^(?:usr\/)?(s?bin)\//, 'usr/$1/'))
    .flatMap((path) => {
      const match = /^(usr\/s?bin)\/([^/]+)$/.exec(path);
      const name = match?.[2] ?? '';
      if (match === null || NO_APPLETS.has(name) || present.has(name)) return [];
      return [{ path, target: match[1] === 'usr/bin' ? 'busybox' : '../bin/busybox' }];
    });
}

const BLOCK_KIB = 4;
const JOURNAL_MIB = 4;

/** Room that ext4 needs for what is in the tree: its tables and journal on top of the files. */
export function neededMib(treeKib: number): number {
  return Math.ceil(treeKib / 1024 + JOURNAL_MIB + 4 + treeKib / 1024 / 20);
}

/**
 * Arguments of mke2fs: the file system is filled while it is made, so nothing has to be mounted. No lazy initialisation:
 * the guest's kernel would write the tables during its first minutes, in every VM's own disk.
 */
export function mke2fsArgs(o: { tree: string; file: string; sizeMib: number; uuid: string }): [string, ...string[]] {
  return [
    'mke2fs',
    ...['-q', '-F', '-t', 'ext4', '-b', String(BLOCK_KIB * 1024), '-m', '0', '-i', '16384'],
    ...['-L', 'skerry-root', '-U', o.uuid, '-J', `size=${JOURNAL_MIB}`],
    ...['-E', `hash_seed=${o.uuid},lazy_itable_init=0,lazy_journal_init=0,nodiscard`],
    ...['-d', o.tree, o.file, `${o.sizeMib}M`],
  ];
}
