export { connectAgent, PROTOCOL_NEWEST, PROTOCOL_OLDEST, type AgentClient, type AgentProcess } from './agent/index.ts';
export { Admission, Room, type AdmissionPorts } from './admission.ts';
export {
  budgetOf,
  OVERHEAD_MIB,
  planAdmission,
  wholeAsk,
  type AdmissionLimits,
  type MemoryAsk,
} from './admission-plan.ts';
export { setCable, setOtherCable } from './cables.ts';
export { VmController } from './controller.ts';
export type { ControllerPorts, StopOptions } from './controller-ports.ts';
export { VmChanges, type ChangePorts } from './change.ts';
export { setStatus as setVmStatus } from './follow.ts';
export { KeyedQueue } from './keyed-queue.ts';
export { ForkService, type ForkPorts } from './fork.ts';
export { cutTogether, type CutMember, type CutNetwork } from './cut.ts';
export { bringDiskBack, dropDiskAside, setDiskAside } from './disk-aside.ts';
export {
  assertDiskSize,
  diskLayers,
  diskSizeBytes,
  ensureDisk,
  linkLayers,
  makeLayer,
  removeUnused,
  startChain,
} from './disks.ts';
export { LogLines, mergeLines, withoutStamps, type LogLine } from './log-lines.ts';
export { LiveVm, type LiveVmOptions } from './live.ts';
export { memoryLack } from './memory-need-plan.ts';
export { MemoryRecord, recordMemory, removeMemory, statePath } from './memory.ts';
export {
  cgroupOf,
  identityOf,
  isolationOf,
  shapeLaunch,
  vmLaunch,
  type HostProfile,
  type LaunchDirs,
  type LaunchHost,
} from './launch.ts';
export { isAlive, newVmStatus, shapeOf, shortId, splitVmName, VM_KIND } from './model.ts';
export type {
  BootFiles,
  CloneChoice,
  NicPlace,
  PoolMember,
  SavedState,
  TemplateWant,
  VmImages,
  VmNetworks,
  VmNic,
  VmPools,
  VmSecrets,
  VmSharedStates,
  VmTemplates,
  WorkOptions,
} from './ports.ts';
export { NicService, type NicPorts } from './nic-service.ts';
export { endMachine } from './start.ts';
export { nicIndexes, nicInfo } from './nic-plan.ts';
export { ShareDirectories } from './share-directories.ts';
export { shareInfos, shareRoots, type ShareRules } from './share-plan.ts';
export { ShareService } from './share-service.ts';
export { SshService, type SshSession } from './ssh.ts';
export { Turns } from './turns.ts';
export { UidClaims } from './uids.ts';
export { specOf, VmService, type NewVm } from './service.ts';
