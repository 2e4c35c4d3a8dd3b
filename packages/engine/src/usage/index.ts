export { UsageService, type UsagePorts } from './service.ts';
