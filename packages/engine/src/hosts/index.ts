export { run, start, type Argv, type RunOptions, type RunResult, type StartOptions } from './run.ts';
