export type * from './contract.ts';
export * from './jail/index.ts';
export { capLog, createQemuDriver, type QemuDriverOptions } from './qemu/index.ts';
