export { connectAgent, type AgentClient, type AgentProcess } from './agent/index.ts';
export { VmController, type ControllerPorts, type StopOptions } from './controller.ts';
export { ForkService, type ForkPorts } from './fork.ts';
export { diskSizeBytes } from './disks.ts';
export { cgroupOf, isolationOf, shapeLaunch, type HostProfile, type LaunchHost } from './launch.ts';
export { isAlive, shortId, splitVmName, VM_KIND } from './model.ts';
export type { BootFiles, VmImages, VmNetworks, VmNic, VmTemplates, WorkOptions } from './ports.ts';
export { UidClaims } from './uids.ts';
export { specOf, VmService, type NewVm } from './service.ts';
