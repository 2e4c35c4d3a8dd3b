export { connect, getDefaultClient, Skerry } from './client.ts';
export type { CallOptions, ConnectOptions, OperationsOf, RunOptions } from './client.ts';
export type { BuildTemplateOptions, Pools, Templates } from './templates.ts';
export { createVM, type CreateVMOptions } from './vms/create.ts';
export { VM, type TaskOptions } from './vms/vm.ts';
export { argvOf, type ExecChunk, type ExecOptions, type ExecResult } from './vms/exec.ts';
export type { ExecProcess } from './vms/exec-process.ts';
export type { FileContent, VmFiles, WriteOptions } from './vms/files.ts';
export { ensureDaemon } from './daemon-process/index.ts';
export { loadNodeFile, loadRecipe, type LoadedNodeFile } from './node-file/index.ts';
export { SkerryError } from '@skerry/api/base';
export type {
  ErrorBody,
  ErrorCode,
  HostUsage,
  Image,
  Network,
  Node,
  NodeSave,
  Pool,
  SkerryEvent,
  Task,
  Template,
  TemplatePolicy,
  Vm,
} from '@skerry/api/base';
