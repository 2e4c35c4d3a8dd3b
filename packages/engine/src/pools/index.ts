export { isPoolable, nextPoolStep, type PoolStep, type WaitingMember, type WantedPool } from './plan.ts';
export { PoolService, type PoolPorts } from './service.ts';
