import type { ExplainCause } from '@skerry/api';
import { isIn } from './explain-address-model.ts';
import { cause, type FactNetwork, type NetFacts, type Packet } from './explain-model.ts';
import { segmentAcl } from './acl-plan.ts';
import type { PlannedVm } from './plan.ts';

/** Pure: which rule of a network stands in the way of a packet. */

/** @param ports ids of the switch's ports that it comes from and goes to */
export function deniedBy(
  network: FactNetwork,
  packet: Packet,
  ports: readonly string[],
  facts: NetFacts,
): ExplainCause | undefined {
  if (network.acl === undefined || network.mode === 'link') return undefined;
  const { default: otherwise, rules } = segmentAcl(network.acl, facts.vms.map(plannedVm));
  const within = (ranges: readonly string[] | undefined, address: string) =>
    ranges === undefined || ranges.some((range) => isIn(range, address));
  const rule = rules.find(
    ({ from, to, protocol, ports: range, portId }) =>
      (portId === undefined || ports.includes(portId)) &&
      (protocol === undefined ? range === undefined || packet.protocol !== 'icmp' : protocol === packet.protocol) &&
      (range === undefined || (packet.port !== undefined && packet.port >= range.from && packet.port <= range.to)) &&
      within(from, packet.from) &&
      within(to, packet.to),
  );
  if ((rule?.action ?? otherwise) === 'allow') return undefined;
  const what = `${packet.protocol}${packet.port === undefined ? '' : `/${packet.port}`} from ${packet.from} to ${packet.to}`;
  if (rule !== undefined) {
    return cause(
      'acl',
      `${network.name}/${rule.id}`,
      `rule ${rule.id} of the network ${network.name} denies ${what}`,
      `skerry network acl remove ${network.name} ${rule.id}`,
    );
  }
  const port = packet.port === undefined ? '' : ` --port ${packet.port}`;
  return cause(
    'acl',
    `${network.name}/default`,
    `no rule of the network ${network.name} allows ${what}, and its default is deny`,
    `skerry network acl add ${network.name} --allow --from ${packet.from} --to ${packet.to} --proto ${packet.protocol}${port}`,
  );
}

function plannedVm({ id, name, nics }: NetFacts['vms'][number]): Pick<PlannedVm, 'id' | 'name' | 'nics'> {
  return { id, name, nics: nics.map((nic) => ({ ...nic, networkId: nic.network, socketPath: '' })) };
}
