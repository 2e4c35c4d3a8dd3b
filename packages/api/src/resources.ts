import type { z } from 'zod';
import { FaultSpec, FaultStatus } from './fault.ts';
import { NetworkSpec, NetworkStatus } from './network.ts';
import { NodeSpec, NodeStatus } from './node.ts';
import { resourceSchema } from './resource.ts';
import { VmSpec, VmStatus } from './vm.ts';

/** What a user can name, whole: header, spec and status. */

export const Vm = resourceSchema('vm', VmSpec, VmStatus);
export type Vm = z.infer<typeof Vm>;
export const Node = resourceSchema('node', NodeSpec, NodeStatus);
export type Node = z.infer<typeof Node>;
export const Network = resourceSchema('network', NetworkSpec, NetworkStatus);
export type Network = z.infer<typeof Network>;
export const Fault = resourceSchema('fault', FaultSpec, FaultStatus);
export type Fault = z.infer<typeof Fault>;
