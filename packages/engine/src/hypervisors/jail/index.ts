export { handOver, keptBytes, waitSealed, type Handed } from './keeper.ts';
export {
  planJail,
  SERVED_AT,
  type JailFile,
  type JailHost,
  type JailSpec,
  type KeptObject,
  type RlimitName,
} from './plan.ts';
export { findJailHost, killJailed, launchJail } from './launch.ts';
export { checkShare } from './share.ts';
export { SpareJail } from './spare.ts';
export {
  describeEnd,
  inspectJail,
  isAlive,
  readExit,
  readPid,
  watchExit,
  type JailEnd,
  type JailExit,
  type JailProcess,
  type JailState,
} from './state.ts';
export { allocateUid, EGRESS_UID, UID_BASE, UID_COUNT, type UidSources } from './uids.ts';
