export { connectAgent, type AgentClient, type AgentProcess } from './agent/index.ts';
export { Admission, Room, type AdmissionPorts } from './admission.ts';
export {
  budgetOf,
  OVERHEAD_MIB,
  planAdmission,
  wholeAsk,
  type AdmissionLimits,
  type MemoryAsk,
} from './admission-plan.ts';
export { VmController, type ControllerPorts, type StopOptions } from './controller.ts';
export { ForkService, type ForkPorts } from './fork.ts';
export { cutTogether, type CutMember, type CutNetwork } from './cut.ts';
export { diskLayers, diskSizeBytes, ensureDisk, linkLayers, makeLayer, removeUnused, startChain } from './disks.ts';
export { LiveVm, type LiveVmOptions } from './live.ts';
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
export { isAlive, newVmStatus, shortId, splitVmName, VM_KIND } from './model.ts';
export type {
  BootFiles,
  CloneChoice,
  PoolMember,
  TemplateWant,
  VmImages,
  VmNetworks,
  VmNic,
  VmPools,
  VmTemplates,
  WorkOptions,
} from './ports.ts';
export { endMachine } from './start.ts';
export { Turns } from './turns.ts';
export { UidClaims } from './uids.ts';
export { specOf, VmService, type NewVm } from './service.ts';
