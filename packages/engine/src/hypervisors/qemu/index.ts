export { createQemuDriver, type QemuDriverOptions } from './driver.ts';
export { capLog } from './logs.ts';
