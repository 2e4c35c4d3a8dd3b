export { planEviction, templateMac, type EvictionLimits } from './plan.ts';
export { TemplateService, type CloneChoice, type TemplatePorts } from './service.ts';
