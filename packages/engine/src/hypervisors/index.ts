export type * from './contract.ts';
export {
  allocateUid,
  describeEnd,
  EGRESS_UID,
  findJailHost,
  inspectJail,
  keptBytes,
  killJailed,
  launchJail,
  SpareJail,
  readExit,
  readPid,
  UID_BASE,
  UID_COUNT,
  watchExit,
  type JailEnd,
  type JailExit,
  type JailFile,
  type JailHost,
  type JailProcess,
  type JailSpec,
  type JailState,
  type UidSources,
} from './jail/index.ts';
export { assertShareUsable } from './share-check.ts';
export { Policies, type PolicyOptions } from './policies/index.ts';
export { capLog, createQemuDriver, lastRun, shareTag, virtiofsdCommand, type QemuDriverOptions } from './qemu/index.ts';
