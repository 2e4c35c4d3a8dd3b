export { KernelDatapath, type KernelDatapathOptions } from './kernel-datapath.ts';
export { KernelCaptures, type KernelCapturesOptions } from './captures.ts';
export { BridgedInterfaces, type Bridged, type BridgedOptions } from './bridged-service.ts';
export { readForeignFilters } from './foreign-filters.ts';
export { foreignDoctorItem } from './foreign-plan.ts';
export { hasAcl } from './acl-plan.ts';
export { tagOf, tapName } from './names-model.ts';
export {
  assertImpairable,
  assertNicSupported,
  assertNoTrunks,
  assertSupported,
  kernelDoctorItem,
  kernelSupport,
  type KernelSupport,
} from './support-plan.ts';
