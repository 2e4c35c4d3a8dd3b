export * from './store/index.ts';
export * from './tasks/index.ts';
export * from './events/index.ts';
