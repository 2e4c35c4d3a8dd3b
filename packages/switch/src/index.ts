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
export { connectSwitch, type SwitchClient } from './client.ts';
export { parseSwitchConfig, type Segment, type SegmentPort, type SwitchConfig } from './config.ts';
export { DROP_REASONS, type DropReason } from './decide.ts';
export { SwitchError, type SwitchErrorCode } from './error.ts';
export type { PortStats, SwitchIdentity, SwitchMethods, SwitchState, SwitchStats } from './protocol.ts';
export { SWITCH_ARGV } from './program.ts';
export { measureSwitch, type SwitchMeasurement } from './bench.ts';
