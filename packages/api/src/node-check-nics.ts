import { isForVms } from './ipv4.ts';
import type { NodeProblem } from './node-check.ts';
import type { NodeSpec } from './node.ts';

/** Pure: addresses and MACs that a node says of its NICs: each is one NIC's, and of its network's subnet. */

export function nicProblems({ vms, networks }: NodeSpec): NodeProblem[] {
  const problems: NodeProblem[] = [];
  /** What a network has given already -> whose it is. */
  const taken = new Map<string, string>();
  for (const [vm, { nics }] of Object.entries(vms)) {
    for (const [index, { network, address, mac }] of nics.entries()) {
      const path = ['vms', vm, 'nics', index];
      for (const wanted of [address, mac]) {
        if (wanted === undefined) continue;
        const other = taken.get(`${network} ${wanted}`);
        taken.set(`${network} ${wanted}`, vm);
        if (other === undefined) continue;
        problems.push({
          path,
          message: `${wanted} on ${network} is said of both ${other} and ${vm}`,
          remedy: 'Give each NIC one of its own, or leave it out to have one chosen.',
        });
      }
      const { subnet, mode } = networks[network] ?? {};
      // On a LAN of the host's, its router says which ones are free.
      if (address === undefined || subnet === undefined || mode === 'bridged' || isForVms(address, subnet)) continue;
      problems.push({
        path,
        message: `${address} is no address for a VM in ${subnet}, the subnet of ${network}`,
        remedy: 'The first three and the last address of a subnet are not for VMs: choose another, or leave it out.',
      });
    }
  }
  return problems;
}
