export {
  cidrsOverlap,
  formatIpv4,
  formatMac,
  inCidr,
  lastAddress,
  parseCidr,
  parseIpv4,
  parseMac,
  type Cidr,
} from './address.ts';
export type { CaptureParams, CaptureState } from './capture/protocol.ts';
export { followCapture } from './capture/follow.ts';
export { readCapture } from './capture/read.ts';
export { connectSwitch, type SwitchClient } from './client.ts';
export {
  parseSwitchConfig,
  type PortImpairment,
  type Segment,
  type SegmentAcl,
  type SegmentAclRule,
  type SegmentImpairment,
  type SegmentPartition,
  type SegmentPort,
  type SwitchConfig,
  type UdpForward,
} from './config.ts';
export type { Direction, PerDirection } from './impair.ts';
export { noCounts, type LineCounts } from './line.ts';
export { DROP_REASONS, type DropReason } from './verdict.ts';
export { SwitchError, type SwitchErrorCode } from './error.ts';
export type {
  KeptFrames,
  KeptSegments,
  PortStats,
  SwitchIdentity,
  SwitchLeases,
  SwitchMethods,
  SwitchState,
  SwitchStats,
} from './protocol.ts';
export { SWITCH_ARGV } from './program.ts';
