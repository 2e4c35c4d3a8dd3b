import { join } from 'node:path';

/** The kernel's own policies: what may be active, what may keep us from using it, and what to type then. Pure. */

export type MandatoryKind = 'apparmor' | 'selinux';

export interface Mandatory {
  readonly kind: MandatoryKind;
  /** Absent: VMs are confined by it. */
  readonly lack?: MandatoryLack;
}

export type MandatoryLack = 'root' | 'parser' | 'interface' | 'confined' | 'module';

/** Beside what runs: the repository, or where the package has put it. */
const MODULE = join(import.meta.dirname, '../../../../policies/skerry.cil');

/** What is missing, and what to type. */
export const MANDATORY_LACKS: Readonly<Record<MandatoryLack, { readonly found: string; readonly remedy: string }>> = {
  root: {
    found: 'policies are for root to load',
    remedy: "For VMs with a policy each, use the system's daemon: sudo skerry daemon start",
  },
  parser: { found: 'apparmor_parser is not installed', remedy: 'apt-get install apparmor' },
  interface: {
    found: '/sys/kernel/security/apparmor can not be written to',
    remedy: 'Mount it for the daemon (mount -t securityfs securityfs /sys/kernel/security), outside of containers.',
  },
  confined: {
    found: 'the daemon has a profile itself',
    remedy: 'Run the daemon without a profile: outside of containers, not by a confined program.',
  },
  module: { found: "Skerry's module is not installed", remedy: `semodule -i ${MODULE}, then restart the daemon.` },
};
