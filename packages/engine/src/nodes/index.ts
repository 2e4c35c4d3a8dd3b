export { networkName, networkSpecOf, NODE_KIND, nodeState, planUp } from './plan.ts';
export { NodeCopyService, type CopyPorts } from './copies.ts';
export { markReturning } from './return.ts';
export { nameMatcher } from './verbs-plan.ts';
export { NodeVerbs, type VerbPorts } from './verbs.ts';
export { NodeService, type NodePorts } from './service.ts';
