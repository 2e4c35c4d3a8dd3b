export { isPoolable, nextPoolStep, type PoolStep, type WaitingMember, type WantedPool } from './plan.ts';
export type { PoolPorts } from './ports.ts';
export { PoolService } from './service.ts';
