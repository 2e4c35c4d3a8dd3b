export { virtiofsdCommand } from './share-plan.ts';
export { shareTag } from './share-tag.ts';
export { createQemuDriver, type QemuDriverOptions } from './driver.ts';
export { capLog, lastRun } from './logs.ts';
