import { hostOf } from './hosts.ts';

/** Pure: how OpenSSH (8.4 or later) is told to reach VMs. */

export interface SshPaths {
  /** What is typed to run us. */
  readonly launcher: readonly string[];
  /** What says which daemon: set for the command that ssh runs. */
  readonly env: Readonly<Record<string, string>>;
  readonly privateKeyPath: string;
  readonly knownHostsDir: string;
}

/** Keywords of ssh_config(5). The name that was typed (%n) says which VM it is, and where its host key is put. */
export function sshOptions({
  launcher,
  env,
  privateKeyPath,
  knownHostsDir,
}: SshPaths): ReadonlyArray<[string, string]> {
  const variables = Object.entries(env).map(([name, value]) => `${name}=${value}`);
  const words = [...(variables.length === 0 ? [] : ['env', ...variables]), ...launcher, 'connect'];
  return [
    ['ProxyCommand', `${words.map(shellWord).map(withoutTokens).join(' ')} %n:ssh --user %r`],
    ['IdentityFile', quoted(privateKeyPath)],
    ['IdentitiesOnly', 'yes'],
    ['UserKnownHostsFile', quoted(knownHostsDir, '/%n')],
    ['GlobalKnownHostsFile', '/dev/null'],
    // `connect` has written the key down before ssh looks: there is nothing to ask, and nothing to take on trust.
    ['StrictHostKeyChecking', 'yes'],
    ['UpdateHostKeys', 'no'],
  ];
}

/** @param vmNames all that are named; with `others`, those that come later are reached with `.skerry` behind their name */
export function sshConfig(vmNames: readonly string[], others: boolean, paths: SshPaths): string {
  const hosts = [...vmNames.map(hostOf), ...(others ? ['*.skerry'] : [])];
  return [
    '# Written by `skerry ssh-config`: VMs, for ssh, scp, sftp and rsync.',
    `Host ${hosts.join(' ')}`,
    ...[['User', 'root'], ...sshOptions(paths)].map(([keyword, value]) => `    ${keyword} ${value}`),
    '',
  ].join('\n');
}

/** ssh hands a ProxyCommand to the user's shell. */
function shellWord(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", String.raw`'\''`)}'`;
}

/** A % begins a token (ssh_config(5), TOKENS). */
function withoutTokens(text: string): string {
  return text.replaceAll('%', '%%');
}

function quoted(path: string, tokens = ''): string {
  const text = `${withoutTokens(path)}${tokens}`;
  return /\s/.test(text) ? `"${text}"` : text;
}
