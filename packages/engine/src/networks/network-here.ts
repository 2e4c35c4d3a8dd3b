import { SkerryError, type Network, type NetworkSpec } from '@skerry/api';
import type { Resources } from '../store/index.ts';
import type { BridgedNetworks } from './bridged-networks.ts';
import { datapathFor, type DatapathCapabilities } from './datapath-plan.ts';
import { readHostNetwork } from './host-facts.ts';
import type { LanFacts } from './lan-plan.ts';
import { checkOwn, checkParent, planNetwork, type NetworkFacts, type NetworkPlan } from './network-plan.ts';

/** What a network that is asked for would be on this host, beside the networks that it has now. */

export interface HerePorts {
  readonly networks: Pick<Resources<NetworkSpec, Network['status']>, 'list'>;
  readonly capabilities: () => Promise<DatapathCapabilities>;
  /** Whether the host has the ports that its networks would have with this one. @throws SkerryError `in-use` */
  readonly assertPortsFree: (network: Pick<Network, 'id' | 'spec'>) => Promise<void>;
  readonly bridged: Pick<BridgedNetworks, 'look'>;
}

/** @throws SkerryError `invalid`, `in-use` (subnet, VNI, port), `not-found` (interface), `unsupported`, `no-space` */
export async function planHere(ports: HerePorts, spec: NetworkSpec): Promise<NetworkPlan> {
  const [{ items }, host, capabilities] = await Promise.all([
    ports.networks.list(),
    readHostNetwork(),
    ports.capabilities(),
  ]);
  const facts = { networks: items as readonly Network[], ...host, ...capabilities };
  const plan = planNetwork(spec, { ...facts, lan: await lanOf(ports, spec, facts) });
  await ports.assertPortsFree({ id: '', spec: plan.spec });
  return plan;
}

/** Of one that a file declares, and that is not there. @throws SkerryError as `planHere`, and as `assertThere` */
export async function planDeclared(ports: HerePorts, name: string, spec: NetworkSpec): Promise<NetworkPlan> {
  if (spec.mode === 'bridged') assertThere(name, undefined, spec);
  return planHere(ports, spec);
}

/** @throws SkerryError: its interface can't be bridged; what is wrong with all else of it is said first */
async function lanOf(ports: HerePorts, spec: NetworkSpec, facts: NetworkFacts): Promise<LanFacts | undefined> {
  if (spec.mode !== 'bridged') return undefined;
  checkOwn(spec);
  datapathFor(spec.mode, spec.datapath, facts);
  checkParent(spec, facts);
  return ports.bridged.look(spec.parent ?? '');
}

/**
 * Whoever takes an interface of the host has to be there to say that it still can be reached: a file is not.
 * @throws SkerryError `unsupported`
 */
export function assertThere(name: string, known: Pick<Network, 'status'> | undefined, { parent }: NetworkSpec): void {
  if (known?.status.uplink?.confirmed === true) return;
  const confirm = `\`skerry network confirm ${name}\``;
  throw new SkerryError(
    'unsupported',
    `${name} is bridged: it is made, and confirmed, before something else names it`,
    {
      remedy:
        known === undefined
          ? `Type \`skerry network create-bridge ${name} ${parent ?? 'INTERFACE'}\`, then ${confirm}, then this again.`
          : `Type ${confirm}, then this again.`,
      details: { network: name },
    },
  );
}
