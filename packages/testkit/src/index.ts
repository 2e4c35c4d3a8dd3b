export { startTestHost, TestHost, type CliOptions, type CliResult, type TestHostOptions } from './host.ts';
