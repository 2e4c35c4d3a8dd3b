export { planEviction, templateMac, type EvictionLimits } from './plan.ts';
export { TemplateService, type TemplatePorts } from './service.ts';
