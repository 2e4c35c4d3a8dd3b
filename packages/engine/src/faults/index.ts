export { FAULT_KIND } from './plan.ts';
export type { FaultPorts } from './ports.ts';
export { FaultService } from './service.ts';
