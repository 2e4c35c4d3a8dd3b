export { Context } from './context.ts';
export { Interrupts, type Interrupt } from './interrupts.ts';
export { Output, paint } from './output.ts';
export { Progress } from './progress.ts';
