import type { Node, Vm } from '@skerry/api/base';
import { VM_COLUMNS } from './columns.ts';
import { renderTable } from './table.ts';

/** A node, its VMs and its forwarded ports, without a line's end. */
export function renderNode(node: Node, vms: readonly Vm[], wide = false): string {
  const { state, message } = node.status;
  return [
    [`${node.name}: ${state}`, ...(message === undefined ? [] : [message])].join(', '),
    renderTable(vms, VM_COLUMNS, wide).trimEnd(),
    ...forwardsOf(node).map(({ host, to }) => `${host} -> ${to}`),
  ].join('\n');
}

export function forwardsOf(node: Node): Array<{ host: string; to: string }> {
  return Object.entries(node.spec.vms).flatMap(([name, { forwards, replicas }]) =>
    (replicas === 0 ? [] : forwards).map(({ hostAddress, hostPort, guestPort }) => ({
      host: hostAddress.includes(':') ? `[${hostAddress}]:${hostPort}` : `${hostAddress}:${hostPort}`,
      to: `${node.name}/${name}:${guestPort}`,
    })),
  );
}
