export { NODE_KIND, nodeState, planUp } from './plan.ts';
export { NodeCopyService, type CopyPorts } from './copies.ts';
export { NodeService, type NodePorts } from './service.ts';
