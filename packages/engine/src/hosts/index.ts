export { run, start, type Argv, type RunOptions, type RunResult, type StartOptions } from './run.ts';
export { hostMemory, type HostMemory, type HostMemoryOptions } from './memory.ts';
export { nativePath } from './native.ts';
export { ensurePaths, hostPaths, instanceId, type HostPaths } from './paths.ts';
export { probeHost, type HostFacts, type ProbeOptions } from './probe.ts';
export { doctorReport } from './doctor.ts';
