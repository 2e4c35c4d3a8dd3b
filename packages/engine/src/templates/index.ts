export { planEviction, templateMac, type EvictionLimits } from './plan.ts';
export { SharedStates } from './shared-state.ts';
export { TemplateService, type TemplatePorts } from './service.ts';
