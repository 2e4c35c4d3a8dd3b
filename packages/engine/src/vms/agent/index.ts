export { connectAgent } from './connect.ts';
export { isConnectionLost } from './errors.ts';
export { PROTOCOL_NEWEST, PROTOCOL_OLDEST, SPARE_MAC } from './protocol.ts';
export type {
  AgentClient,
  AgentFileEntry,
  AgentHello,
  AgentNotice,
  AgentProcess,
  CallOptions,
  ExecSpec,
  ExitStatus,
  FileDownload,
  GuestStats,
  Identity,
  MountSpec,
  NicChange,
  NicIdentity,
  NicNames,
  PutOptions,
  ServiceControl,
  ServiceSpec,
  ServiceStatus,
} from './types.ts';
