import { basename, join } from 'node:path';
import { SkerryError } from '@skerry/api';
import type { JailSpec } from '../jail/index.ts';

/**
 * The AppArmor profile of one VM's process (apparmor.d(5)). Pure.
 *
 * QEMU gets its files as descriptors, opened by vmjail, which has no profile: these stay of use (aa_file_perm in
 * security/apparmor/file.c delegates them), also those that are handed over later: layers, saved memory, a template's memory. What
 * QEMU opens once more through /proc/self/fd needs a line, as does every file of a shared directory.
 */

export interface ProfileInput {
  readonly name: string;
  readonly spec: Pick<JailSpec, 'listen' | 'open' | 'share' | 'taps'>;
  readonly usesKvm: boolean;
  /** Path in its own file system -> of each shared directory: see `pathInFileSystem`. */
  readonly sharePaths: readonly { readonly path: string; readonly readonly: boolean }[];
}

/** @param runtimeDir ends with the short id of the VM, of the template or of the builder, whoever it is */
export function profileName(runtimeDir: string): string {
  const id = basename(runtimeDir);
  if (/^[0-9a-z][0-9a-z-]{0,62}$/.test(id)) return `skerry-vm-${id}`;
  throw new SkerryError('internal', `${JSON.stringify(id)} is no name for a profile`, {
    remedy: 'This is a bug in Skerry: report it with this message.',
  });
}

/** What QEMU opens by itself: libraries, modules, firmware, and what libraries look at as they begin. */
const PROGRAM = [
  '/{,usr/,usr/local/}{bin,libexec}/qemu-* mr,',
  '/{,usr/,usr/local/}lib{,32,64}/** mr,',
  '/{,usr/,usr/local/}share/{qemu,qemu-kvm,seabios,ipxe}/{,**} r,',
  '/{,usr/}share/zoneinfo/** r,',
  '/etc/{ld.so.cache,ld.so.preload,localtime} r,',
  '/etc/{qemu,gnutls,ssl,crypto-policies,libnl}/{,**} r,',
  '/dev/{null,zero,urandom,random} r,',
  '/dev/null w,',
  '/proc/filesystems r,',
  // glibc, before it gives memory back (malloc/arena.c).
  '/proc/sys/vm/overcommit_memory r,',
  '/proc/[0-9]*/{status,maps,auxv} r,',
  // It looks at who ended it; without leave its last words lack that name, and the host's log need not tell.
  'deny /proc/[0-9]*/cmdline r,',
  'owner /proc/[0-9]*/task/[0-9]*/comm rw,',
  '/sys/devices/system/{node,cpu}/{,**} r,',
  '/sys/bus/nd/devices/ r,',
  // How many pieces of memory the kernel's own vhost takes (hw/virtio/vhost-backend.c).
  '/sys/module/vhost/parameters/max_mem_regions r,',
  '/sys/kernel/mm/transparent_hugepage/{,**} r,',
];

/**
 * The profile's text. It has no line for executing a program, for a network, or for a capability: none is allowed.
 * @throws SkerryError `invalid` for a path that no profile can name
 */
export function apparmorProfile({ name, spec, usesKvm, sharePaths }: ProfileInput): string {
  const own = Object.values(spec.open ?? {}).map(({ path, mode }) => `${quoted(path)} ${PERMISSIONS[mode]},`);
  const sockets = Object.values(spec.listen ?? {}).map((path) => `${quoted(path)} rw,`);
  const shared = [
    ...Object.values(spec.share ?? {}),
    // Under root it is a mount that is nowhere: its files have the name that they have in their file system.
    ...sharePaths,
  ].flatMap(({ path, readonly }) => {
    const below = path === '/' ? '/' : `${path}/`;
    return [`${quoted(below)} r,`, `${quoted(below, '**')} ${readonly ? 'r' : 'rwkl'},`];
  });
  const lines = [
    ...PROGRAM,
    ...(usesKvm ? ['/dev/kvm rw,'] : []),
    // Handed over open; who has no capability makes no interface with it.
    ...(Object.keys(spec.taps ?? {}).length > 0 ? ['/dev/net/tun rw,'] : []),
    ...own,
    ...sockets,
    ...new Set(shared),
    'unix (accept, listen, send, receive, getattr, setattr, getopt, setopt, shutdown) type=stream,',
    'signal (receive) peer=unconfined,',
    `signal (send, receive) peer=${name},`,
  ];
  return `abi <abi/3.0>,\n\n# Made by Skerry at each start: changes are lost.\n${profileText(name, shared.length > 0, lines)}`;
}

/**
 * Of what serves directories to a VM, beside the VM's own. It makes the directory its root (pivot_root(2)), after which that is where
 * names begin: so the profile can not tell its files from the host's, which its user and its mounts keep it from. What it adds is that
 * no program is started and no network reached.
 * @param command of the server, by its absolute path
 */
export function serverProfile(name: string, command: string, readonly: boolean): string {
  return profileText(serverProfileName(name), true, [
    '/{,usr/,usr/local/}lib{,32,64,exec}/** mr,',
    `${quoted(command)} mr,`,
    '/ r,',
    `/** ${readonly ? 'r' : 'rwkl'},`,
    '/dev/null rw,',
    // Of its own user namespace (sandbox=namespace, lo_change_cred and what it does for the guest's root).
    `capability ${SERVER_CAPABILITIES.join(' ')},`,
    'mount,',
    'umount,',
    'pivot_root,',
    'unix (accept, listen, send, receive, getattr, setattr, getopt, setopt, shutdown) type=stream,',
    'signal (receive) peer=unconfined,',
    `signal (send, receive) peer=${serverProfileName(name)},`,
  ]);
}

export function serverProfileName(name: string): string {
  return `${name}-server`;
}

const SERVER_CAPABILITIES = [
  'sys_admin',
  'setpcap',
  'setuid',
  'setgid',
  'chown',
  'dac_override',
  'fowner',
  'fsetid',
  'mknod',
  'setfcap',
];

function profileText(name: string, isDisconnected: boolean, lines: readonly string[]): string {
  const flags = isDisconnected ? ' flags=(attach_disconnected)' : '';
  return `profile ${name}${flags} {\n${lines.map((line) => `  ${line}\n`).join('')}}\n`;
}

/** `k`: QEMU locks images, so that nobody else changes them. */
const PERMISSIONS = { r: 'rk', rw: 'rwk', a: 'w' } as const;

/** A path as it is, then a pattern. */
function quoted(path: string, pattern = ''): string {
  // Control characters have no spelling that all versions of the parser read alike.
  // oxlint-disable-next-line no-control-regex
  if (!path.startsWith('/') || /[\u0000-\u001f\u007f]/.test(path)) {
    throw new SkerryError('invalid', `No AppArmor profile can name ${JSON.stringify(path)}`, {
      remedy: 'Use a directory whose path has no control characters.',
    });
  }
  const literal = path.replaceAll(/[\\"*?[\]{}^,@]/g, (character) => `\\${character}`);
  return `"${literal}${pattern}"`;
}

/**
 * A path as AppArmor names it on a mount that is nowhere: in its own file system (dentry_path, security/apparmor/path.c).
 * @param mountinfo the text of /proc/self/mountinfo
 */
export function pathInFileSystem(path: string, mountinfo: string): string {
  let best = { at: '/', root: '/' };
  for (const line of mountinfo.split('\n')) {
    // proc(5): id, parent, device, root, mount point, ...; the later of two mounts at one place hides the other.
    const [, , , root = '', at = ''] = line.split(' ').map(unescaped);
    if (!at.startsWith('/') || !root.startsWith('/')) continue;
    if ((path === at || path.startsWith(at === '/' ? '/' : `${at}/`)) && at.length >= best.at.length)
      best = { at, root };
  }
  const rest = path.slice(best.at === '/' ? 0 : best.at.length);
  return join(best.root, rest === '' ? '/' : rest).replace(/(.)\/$/, '$1');
}

/** Blank, tab, newline and backslash are written as octal numbers there. */
function unescaped(field: string): string {
  return field.replaceAll(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
}
