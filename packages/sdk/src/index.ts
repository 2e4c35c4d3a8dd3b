export { connect, getDefaultClient, Skerry } from './client.ts';
export type { CallOptions, ConnectOptions, OperationsOf, RunOptions } from './client.ts';
export type { Images } from './images.ts';
export type { BuildTemplateOptions, Pools, Templates } from './templates.ts';
export { createVM, type CreateVMOptions } from './vms/create.ts';
export { FaultHandle, type FaultOptions, type SeededFaultOptions } from './faults/fault.ts';
export { NicHandle } from './faults/nic.ts';
export { VmFaults } from './faults/vm-faults.ts';
export { NodeHandle, type NodeLogOptions } from './nodes/node.ts';
export type { Tunnel } from './vms/guest-stream.ts';
export { VM, type TaskOptions } from './vms/vm.ts';
export { argvOf, type ExecChunk, type ExecOptions, type ExecResult } from './vms/exec.ts';
export type { ExecProcess } from './vms/exec-process.ts';
export type { FileContent, VmFiles, WriteOptions } from './vms/files.ts';
export { ensureDaemon } from './daemon-process/index.ts';
export {
  importNodeFile,
  loadDeclarations,
  loadNodeFile,
  loadRecipe,
  vmFileText,
  type Declaration,
  type Finding,
  type ImportedNode,
  type LoadedNodeFile,
} from './node-file/index.ts';
export { SkerryError } from '@skerry/api/base';
export type {
  ErrorBody,
  ErrorCode,
  HostUsage,
  Image,
  Network,
  NicAddInput,
  NicInfo,
  NicSet,
  Node,
  NodeLogLine,
  NodeSave,
  PlanStep,
  Pool,
  ShareInfo,
  ShareInput,
  SkerryEvent,
  Task,
  Template,
  TemplatePolicy,
  Vm,
  VmChanged,
  VmDeclaration,
  VmSetInput,
} from '@skerry/api/base';
