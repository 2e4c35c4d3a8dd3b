import type { SkerryError } from '@skerry/api';
import type { TemplateService } from '../templates/index.ts';
import type { Admission, BootFiles, HostProfile, LaunchDirs, LiveVm, UidClaims, VmImages } from '../vms/index.ts';
import type { MemberPorts } from './member.ts';

/** What pools need of others, and what they keep. */

export interface PoolPorts extends Omit<MemberPorts, 'templates'> {
  readonly templates: TemplateService;
  readonly images: VmImages;
  readonly uids: UidClaims;
  readonly admission: Admission;
  readonly host: () => Promise<HostProfile>;
  readonly dirs: (id: string) => LaunchDirs;
  /** The MAC of the first NIC of whoever has this id. */
  readonly macOf: (id: string) => string;
  readonly vmExists: (id: string) => Promise<boolean>;
  /** Whether the switch carries a network: a member's NIC is on it, and can't be put on a bridge. */
  readonly isOnSwitch: (network: string) => Promise<boolean>;
  readonly dataDir: string;
  readonly onError: (error: SkerryError, what: string) => void;
}

export interface Member {
  readonly id: string;
  readonly image: string;
  readonly memoryMib: number;
  readonly madeOf: string;
  readonly mac: string;
  readonly templateId: string;
  readonly live: LiveVm;
  /** A VM has its id. */
  isTaken: boolean;
}

/** One that shall be made. */
export interface Wanted {
  readonly id: string;
  readonly image: string;
  readonly cpus: number;
  readonly memoryMib: number;
  readonly boot: BootFiles;
  readonly madeOf: string;
}
