import type { NodeSpec } from '@skerry/api';
import { datapathFor, type DatapathCapabilities } from './datapath-plan.ts';
import { assertImpairable } from './kernel/support-plan.ts';

/**
 * Pure: whether what a node says of its wires is to be had here. The switch can do all of it.
 * @throws SkerryError `unsupported`
 */
export function checkDeclaredImpairments(
  { vms, networks, impair = [] }: Pick<NodeSpec, 'vms' | 'networks' | 'impair'>,
  capabilities: DatapathCapabilities,
): void {
  const { kernel } = capabilities;
  for (const { nic, impairment, seed } of impair) {
    const [vm = '', eth = ''] = nic.split(':');
    const nics = vms[vm]?.nics ?? [];
    const declared = networks[nics[Number(eth.slice('eth'.length))]?.network ?? ''];
    if (declared === undefined || kernel === undefined) continue;
    if (datapathFor(declared.mode ?? 'nat', declared.datapath, capabilities) === 'kernel')
      assertImpairable([{ impairment, isSeeded: seed !== undefined }], kernel);
  }
}
