import type {
  Acl,
  AclAdd,
  ForwardKey,
  Network,
  NetworkForward,
  NetworkSpec,
  Nic,
  Route,
  RouteAdd,
  Vm,
} from '@skerry/api';
import type { EventLog } from '../events/index.ts';
import { refOf, type Resources } from '../store/index.ts';
import { aclOf, withoutRule, withRule } from './acl-change-plan.ts';
import { withForward, withoutForward } from './forward-plan.ts';
import type { DatapathCapabilities } from './datapath-plan.ts';
import { checkRules } from './network-plan.ts';
import { assertNoTrunks, hasAcl } from './kernel/index.ts';
import type { NetworkVerbs } from './network-verbs.ts';
import { nextHop, withoutRoute, withRoute } from './route-change-plan.ts';
import { withNewName } from './rename-plan.ts';

/** Forwards, rules and routes of a network, changed while VMs are on it: whole, or not at all. */

export interface NetworkChangePorts {
  readonly capabilities: () => Promise<DatapathCapabilities>;
  readonly networks: Resources<NetworkSpec, Network['status']>;
  readonly verbs: NetworkVerbs;
  readonly vms: () => Promise<readonly Vm[]>;
  readonly events: Pick<EventLog, 'emit'>;
  /** Whether the host has the ports that its networks would have with this one so. @throws SkerryError `in-use` */
  readonly assertPortsFree: (changed: Pick<Network, 'id' | 'spec'>) => Promise<void>;
  /** Makes datapaths and forwards what the store says. */
  readonly sync: () => Promise<void>;
}

/** What a change makes of a network; the same object: nothing. */
export type NetworkChange = (network: Network, vms: readonly Vm[]) => NetworkSpec;

export class NetworkChanges {
  readonly #ports: NetworkChangePorts;

  constructor(ports: NetworkChangePorts) {
    this.#ports = ports;
  }

  /** What it would be. @throws SkerryError: whatever can be seen to be wrong before anything is changed */
  async plan(ref: string, change: NetworkChange): Promise<Network> {
    const { verbs, vms, assertPortsFree } = this.#ports;
    const network = await verbs.get(ref);
    const spec = change(network, await vms());
    if (spec === network.spec) return network;
    checkRules(spec, network.status, (await this.#ports.capabilities()).kernel);
    if (network.status.datapath === 'kernel' && hasAcl(spec)) assertNoTrunks(nicsOn(network.name, await vms()));
    const changed = { ...network, spec };
    await assertPortsFree(changed);
    return changed;
  }

  /** @throws as `plan`, and what the datapath throws: it is as it was then */
  apply(ref: string, change: NetworkChange, what: string): Promise<Network> {
    return this.#ports.verbs.oneByOne(async () => {
      const { networks, sync, events } = this.#ports;
      const before = await this.#ports.verbs.get(ref);
      const { spec } = await this.plan(ref, change);
      if (spec === before.spec) return before;
      const network = (await networks.update(before.id, () => ({ spec }))) as Network;
      try {
        await sync();
      } catch (error) {
        await networks.update(before.id, () => ({ spec: before.spec }));
        await sync().catch(() => undefined);
        throw error;
      }
      const message = `${network.name}: ${what}`;
      void events.emit({ type: 'network.changed', subject: refOf(network), message });
      return network;
    });
  }

  /** Rules and forwards name VMs. */
  async renamed(before: string, after: string): Promise<void> {
    for (const network of await this.#ports.verbs.list()) {
      await this.apply(network.id, ({ spec }) => withNewName(spec, before, after), `${before} is called ${after} now`);
    }
  }
}

function nicsOn(network: string, vms: readonly Vm[]): Nic[] {
  return vms.flatMap(({ spec }) => spec.nics.filter((nic) => nic.network === network));
}

export const addForward =
  (forward: NetworkForward): NetworkChange =>
  ({ name, spec }, vms) =>
    withForward(spec, forward, name, vms);

export const removeForward =
  (key: ForwardKey): NetworkChange =>
  ({ spec }) =>
    withoutForward(spec, key);

const changeAcl =
  (change: (acl: Acl, network: Network, vms: readonly Vm[]) => Acl): NetworkChange =>
  (network, vms) => {
    const before = aclOf(network);
    const acl = change(before, network, vms);
    return acl === before ? network.spec : { ...network.spec, acl };
  };

export const addRule = (rule: AclAdd): NetworkChange =>
  changeAcl((acl, { name }, vms) => withRule(acl, rule, name, vms));

export const removeRule = (id: number): NetworkChange => changeAcl((acl) => withoutRule(acl, id));

export const setAclDefault = (verdict: Acl['default']): NetworkChange =>
  changeAcl((acl) => (acl.default === verdict ? acl : { ...acl, default: verdict }));

export const addRoute =
  (route: RouteAdd): NetworkChange =>
  (network, vms) => {
    const routes = withRoute(network.spec.routes ?? [], nextHop(route, [network], vms));
    return routes === network.spec.routes ? network.spec : { ...network.spec, routes };
  };

export const removeRoute =
  (to: Route['to']): NetworkChange =>
  ({ spec }) => ({ ...spec, routes: withoutRoute(spec.routes ?? [], to) });
