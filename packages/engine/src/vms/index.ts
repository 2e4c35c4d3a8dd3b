export { connectAgent, type AgentClient, type AgentProcess } from './agent/index.ts';
export { VmController, type ControllerPorts, type StopOptions } from './controller.ts';
export { cgroupOf, type HostProfile, type LaunchHost } from './launch.ts';
export { isAlive, shortId, splitVmName, VM_KIND } from './model.ts';
export type { BootFiles, VmImages, VmNetworks, VmNic, WorkOptions } from './ports.ts';
export { specOf, VmService, type NewVm } from './service.ts';
