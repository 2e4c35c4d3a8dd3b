export { NODE_KIND, nodeState, planUp } from './plan.ts';
export { NodeService, type NodePorts } from './service.ts';
