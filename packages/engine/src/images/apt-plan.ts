/** The pure half of apt: what to ask it, and what its answers mean. */

export interface ResolvedPackage {
  readonly name: string;
  readonly version: string;
  readonly architecture: string;
}

/**
 * Packages that only maintainer scripts call (which are never run), or whose commands the micro image brings itself. Apt
 * is told that they are there, or init-system-helpers alone would drag in usrmerge and 200 MB of perl. A recipe that
 * names one gets the real one.
 */
export const PROVIDED_PACKAGES: readonly string[] = [
  'adduser',
  'base-files',
  'base-passwd',
  'debconf',
  'dpkg',
  'init-system-helpers',
  'lsb-base',
  'passwd',
  'sysvinit-utils',
  'ucf',
  'usr-is-merged',
];

/** What a provided package stands in for besides its name. */
const PROVIDES: Readonly<Record<string, string>> = { debconf: 'debconf-2.0', 'usr-is-merged': 'usrmerge' };

/** Every directory apt writes to is ours, so it works without root and leaves the host's package state alone. */
export function aptConf(dir: string): string {
  const quoted = (path: string): string => `"${path}"`;
  return [
    `Dir::State ${quoted(`${dir}/state`)};`,
    `Dir::State::status ${quoted(`${dir}/status`)};`,
    `Dir::State::lists ${quoted(`${dir}/state/lists`)};`,
    `Dir::State::extended_states ${quoted(`${dir}/state/extended_states`)};`,
    `Dir::Cache ${quoted(dir)};`,
    `Dir::Cache::archives ${quoted(`${dir}/debs`)};`,
    `Dir::Cache::pkgcache ${quoted('pkgcache.bin')};`,
    `Dir::Cache::srcpkgcache ${quoted('srcpkgcache.bin')};`,
    `Dir::Log ${quoted(`${dir}/log`)};`,
    // As root apt drops to the user _apt, who can't enter a cache directory that is ours alone. What it fetches is
    // checked against the distribution's signatures either way.
    `APT::Sandbox::User ${quoted('root')};`,
    `APT::Architectures ${quoted('amd64')};`,
    `APT::Install-Recommends ${quoted('false')};`,
    `Acquire::Languages ${quoted('none')};`,
    `Acquire::Retries ${quoted('3')};`,
    // Images for containers clean the cache of the host after each update.
    '#clear APT::Update::Post-Invoke;',
    '#clear APT::Update::Post-Invoke-Success;',
    '#clear DPkg::Post-Invoke;',
    '#clear DPkg::Pre-Install-Pkgs;',
    '',
  ].join('\n');
}

/** A dpkg status file in which nothing is installed but the provided packages that are not asked for. */
export function providedStatus(requested: readonly string[]): string {
  const asked = new Set(requested.map((request) => request.split('=')[0]));
  return PROVIDED_PACKAGES.filter((name) => !asked.has(name))
    .map((name) =>
      [
        `Package: ${name}`,
        'Status: install ok installed',
        'Architecture: all',
        'Multi-Arch: foreign',
        'Version: 9999',
        ...(PROVIDES[name] === undefined ? [] : [`Provides: ${PROVIDES[name]}`]),
        'Maintainer: nobody',
        'Description: stands in for what the micro image does itself',
        '',
      ].join('\n'),
    )
    .join('\n');
}

/** Lines such as `Inst nginx (1.22.1-9 Debian:12.1/stable [amd64]) []` of `apt-get --simulate install`. */
export function parseSimulation(output: string): ResolvedPackage[] {
  const found = new Map<string, ResolvedPackage>();
  for (const line of output.split('\n')) {
    const match = /^Inst (\S+) (?:\[\S+\] )?\((\S+) .*\[(\w+)\]\)/.exec(line);
    if (match === null) continue;
    const [, name = '', version = '', architecture = ''] = match;
    found.set(name, { name: name.replace(/:\w+$/, ''), version, architecture });
  }
  return [...found.values()].toSorted((a, b) => (a.name < b.name ? -1 : 1));
}

/** What apt could not find or fit, from its standard error. */
export function unknownPackages(stderr: string): string[] {
  const patterns = [
    /Unable to locate package (\S+)/g,
    /Version '[^']*' for '([^']+)' was not found/g,
    /Package '?([^\s']+)'? has no installation candidate/g,
  ];
  return [...new Set(patterns.flatMap((pattern) => [...stderr.matchAll(pattern)].map((match) => match[1] ?? '')))];
}

/** The file name apt gives a package: the colon of an epoch is escaped. */
export function debFileName(deb: ResolvedPackage): string {
  return `${deb.name}_${deb.version.replaceAll(':', '%3a')}_${deb.architecture}.deb`;
}

const OLDEST_KERNEL = [6, 1] as const;

/** From `apt-cache search --names-only`: the newest linux-source-X.Y that is at least 6.1. */
export function newestLinuxSource(searchOutput: string): string | undefined {
  const versions = [...searchOutput.matchAll(/^linux-source-(\d+)\.(\d+) /gm)]
    .map((match) => [Number(match[1]), Number(match[2])] as const)
    .filter(([major, minor]) => major > OLDEST_KERNEL[0] || (major === OLDEST_KERNEL[0] && minor >= OLDEST_KERNEL[1]))
    .toSorted((a, b) => b[0] - a[0] || b[1] - a[1]);
  const newest = versions[0];
  return newest === undefined ? undefined : `linux-source-${newest[0]}.${newest[1]}`;
}

/** From `apt-cache show`: the first stanza's package, version and architecture (apt lists the candidate first). */
export function parseShow(output: string): ResolvedPackage | undefined {
  const field = (name: string): string | undefined => new RegExp(`^${name}: (.*)$`, 'm').exec(output)?.[1];
  const [name, version, architecture] = [field('Package'), field('Version'), field('Architecture')];
  if (name === undefined || version === undefined || architecture === undefined) return undefined;
  return { name, version, architecture };
}

/** From `apt-cache show` of a meta package such as linux-image-cloud-amd64: the kernel package it stands for. */
export function metaPackageTarget(output: string): string | undefined {
  const depends = /^Depends: (.*)$/m.exec(output)?.[1];
  return depends === undefined ? undefined : /\blinux-image-[0-9][^\s,(]*/.exec(depends)?.[0];
}
