/** Pure: the unit of systemd that runs the daemon (systemd.service(5), systemd.exec(5), systemd.resource-control(5)). */

export interface UnitWish {
  readonly scope: 'system' | 'user';
  /** Of Node, and what it is to run. Absolute paths. */
  readonly argv: readonly string[];
  /** SKERRY_... variables, as the daemon shall have them. */
  readonly env: Readonly<Record<string, string>>;
  /** Of a package: who put the unit there, and the administrator's file that overrides `env`, if it is there. */
  readonly package?: { readonly name: string; readonly environmentFile: string } | undefined;
}

export const UNIT_NAME = 'skerryd.service';

/**
 * What holds for every process of the unit and so for VMs. Left out, for what they would break: PrivateTmp, ProtectHome (shares,
 * disks and backups may be anywhere), PrivateDevices and ProtectClock (both close the device list: no /dev/kvm),
 * RestrictNamespaces (vmjail makes them), RestrictSUIDSGID (images have such files), MemoryDenyWriteExecute (V8, QEMU).
 */
const HARDENING_FOR_ALL = [
  'NoNewPrivileges=yes',
  'LockPersonality=yes',
  'RestrictRealtime=yes',
  'SystemCallArchitectures=native',
  'RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK AF_PACKET AF_VSOCK',
];

/** What only root can have. */
const HARDENING_AS_ROOT = [
  'ProtectSystem=full',
  'ProtectKernelLogs=yes',
  'ProtectHostname=yes',
  // What neither the daemon nor vmjail ever needs; modules are the host's business.
  'CapabilityBoundingSet=~CAP_SYS_BOOT CAP_SYS_TIME CAP_SYSLOG CAP_SYS_MODULE CAP_SYS_RAWIO CAP_SYS_PACCT CAP_WAKE_ALARM CAP_AUDIT_CONTROL CAP_AUDIT_READ CAP_LINUX_IMMUTABLE CAP_BLOCK_SUSPEND',
];

export function unitText({ scope, argv, env, package: from }: UnitWish): string {
  const isSystem = scope === 'system';
  const author =
    from === undefined ? 'Written by `skerry daemon install`, which' : `Of the package ${from.name}, which`;
  return [
    `# ${author} writes it anew; own settings go into skerryd.service.d/.`,
    '[Unit]',
    'Description=Skerry daemon (virtual machines)',
    ...(from === undefined ? [] : ['Documentation=man:skerry(1)']),
    ...(isSystem ? ['Wants=network-online.target', 'After=network-online.target local-fs.target'] : []),
    '',
    '[Service]',
    'Type=exec',
    `ExecStart=${argv.map(quoted).join(' ')}`,
    ...Object.entries(env).map(([name, value]) => `Environment=${quoted(`${name}=${value}`)}`),
    ...(from === undefined ? [] : [`EnvironmentFile=-${from.environmentFile}`]),
    'Restart=on-failure',
    'RestartSec=1',
    'TimeoutStopSec=20',
    '# VMs, the switch and their supervisors outlive the daemon: it finds them again.',
    'KillMode=process',
    'OOMPolicy=continue',
    'Delegate=yes',
    'TasksMax=infinity',
    'LimitNOFILE=1048576',
    'UMask=0077',
    ...HARDENING_FOR_ALL,
    ...(isSystem ? HARDENING_AS_ROOT : []),
    '',
    '[Install]',
    `WantedBy=${isSystem ? 'multi-user.target' : 'default.target'}`,
    '',
  ].join('\n');
}

/** systemd.syntax(7): C escapes in double quotes; % and $ are doubled, which else are expanded. */
function quoted(text: string): string {
  const escaped = text.replaceAll(/["\\]/g, '\\$&').replaceAll('%', '%%').replaceAll('$', '$$$$');
  return /^[\w@%+=:,./-]+$/.test(escaped) ? escaped : `"${escaped}"`;
}
