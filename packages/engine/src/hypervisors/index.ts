export type * from './contract.ts';
export {
  allocateUid,
  describeEnd,
  EGRESS_UID,
  findJailHost,
  inspectJail,
  killJailed,
  launchJail,
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
export { capLog, createQemuDriver, type QemuDriverOptions } from './qemu/index.ts';
