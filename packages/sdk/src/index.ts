export { connect, getDefaultClient, Skerry } from './client.ts';
export type { CallOptions, ConnectOptions, OperationsOf, RunOptions } from './client.ts';
export { createVM, type CreateVMOptions } from './vms/create.ts';
export { VM, type TaskOptions } from './vms/vm.ts';
export { argvOf, type ExecChunk, type ExecOptions, type ExecResult } from './vms/exec.ts';
export type { ExecProcess } from './vms/exec-process.ts';
export type { FileContent, VmFiles, WriteOptions } from './vms/files.ts';
export { ensureDaemon } from './daemon-process/index.ts';
// NODEFILE
export { SkerryError } from '@skerry/api';
export type { ErrorBody, ErrorCode, Image, Network, Node, SkerryEvent, Task, Vm } from '@skerry/api';
