import { type ExplainAsk, type Explanation, type Network, SkerryError, type Vm } from '@skerry/api';
import type { SwitchState } from '@skerry/switch';
import type { AgentClient } from '../vms/index.ts';
import { guestArgv, MAX_GUEST_BYTES, parseGuest } from './explain-guest-plan.ts';
import { isAddress, normal } from './explain-address-model.ts';
import type { FactFault, FactForward, FactNetwork, FactNic, FactVm, GuestNet, NetFacts } from './explain-model.ts';
import { explain } from './explain-plan.ts';
import { portId } from './plan.ts';
import { readHostNetwork } from './host-facts.ts';

/** Gathers what there is to know of the networks at this moment, and says who reaches whom. */

export interface ExplainPorts {
  readonly networks: () => Promise<readonly Network[]>;
  readonly vms: () => Promise<readonly Vm[]>;
  /** Those that are active. */
  readonly faults: () => Promise<readonly FactFault[]>;
  readonly switchState: () => Promise<SwitchState | undefined>;
  /** What the kernel does not hold of networks in it though it should, as this moment finds it. */
  readonly kernelLacks: () => Promise<readonly string[]>;
  /** @throws SkerryError `wrong-state`, `unavailable` */
  readonly agent: (vmId: string) => Promise<AgentClient>;
}

/** A guest that is busy is not waited for longer. */
const GUEST_TIMEOUT_MS = 5000;

export class ExplainService {
  readonly #ports: ExplainPorts;

  constructor(ports: ExplainPorts) {
    this.#ports = ports;
  }

  /** @throws SkerryError `not-found` (VM), `invalid` (who asks is no VM) */
  async explain(ask: ExplainAsk): Promise<Explanation> {
    const { networks, vms, faults, switchState, kernelLacks } = this.#ports;
    const [allNetworks, allVms, active, state, lacks, host] = await Promise.all([
      networks(),
      vms(),
      faults(),
      switchState().catch(() => undefined),
      kernelLacks(),
      readHostNetwork(),
    ]);
    // The ends, and whoever passes things on between them.
    const isAsked = (vm: Vm) =>
      vm.spec.role === 'router' ||
      [ask.from, ask.to].some((end) =>
        [vm.name, vm.id, ...vm.status.nics.flatMap(({ address, address6 }) => [address, address6])].includes(
          normal(end),
        ),
      );
    const ports = portsOf(state);
    const targets = targetsOf(ask, allVms);
    const facts: NetFacts = {
      networks: allNetworks.map(factNetwork),
      vms: await Promise.all(
        allVms.map(async (vm) => factVm(vm, ports, active, isAsked(vm) ? await this.#guest(vm, targets) : undefined)),
      ),
      faults: active,
      hostAddresses: host.addresses,
      hostLeadsOut6: host.leadsOut6,
      forwards: [...allVms.flatMap(ownForwards), ...allNetworks.flatMap((network) => networkForwards(network, allVms))],
      kernelLacks: lacks,
    };
    return explain(ask, facts);
  }

  /** What the guest says of itself; undefined if it does not. */
  async #guest(vm: Vm, targets: readonly string[]): Promise<GuestNet | undefined> {
    if (vm.status.state !== 'running' || vm.status.agent?.connected === false) return undefined;
    const signal = AbortSignal.timeout(GUEST_TIMEOUT_MS);
    try {
      const agent = await this.#ports.agent(vm.id);
      const child = agent.exec({ argv: guestArgv(targets), stdin: false, timeoutMs: GUEST_TIMEOUT_MS }, { signal });
      child.stderr.resume();
      const chunks: Buffer[] = [];
      let length = 0;
      for await (const chunk of child.stdout as AsyncIterable<Buffer>) {
        length += chunk.length;
        // No network is so large: the guest tells stories.
        if (length > MAX_GUEST_BYTES) {
          child.kill('KILL');
          return undefined;
        }
        chunks.push(chunk);
      }
      const { exitCode } = await child.exited;
      return exitCode === null ? undefined : parseGuest(Buffer.concat(chunks).toString());
    } catch (error) {
      if (SkerryError.from(error).code === 'internal' && !signal.aborted) throw error;
      return undefined;
    }
  }
}

/** Addresses that a packet, or its answer, may be for. */
function targetsOf({ from, to, ipv6 }: ExplainAsk, vms: readonly Vm[]): string[] {
  const addresses = [from, to].flatMap((end) => {
    if (isAddress(end)) return [normal(end)];
    const nics = vms.find(({ name, id }) => name === end || id === end)?.status.nics ?? [];
    return nics.map(({ address, address6 = '' }) => (ipv6 ? address6 : address));
  });
  return [...new Set(addresses)].filter((each) => isAddress(each));
}

type PortState = SwitchState['segments'][number]['ports'][number];

function portsOf(state: SwitchState | undefined): ReadonlyMap<string, PortState> {
  return new Map((state?.segments ?? []).flatMap(({ ports }) => ports).map((port) => [port.id, port]));
}

function factNetwork({ name, spec, status }: Network): FactNetwork {
  const { subnet, gateway, ipv6, datapath } = status;
  return { name, mode: spec.mode, subnet, gateway, ipv6, datapath, acl: spec.acl, routes: spec.routes };
}

function ownForwards({ name, spec }: Vm): FactForward[] {
  return spec.forwards.map(({ hostAddress, hostPort, guestPort }) => ({
    hostAddress,
    hostPort,
    vm: name,
    guestPort,
    protocol: 'tcp',
  }));
}

function networkForwards({ name, spec }: Network, vms: readonly Vm[]): FactForward[] {
  return (spec.forwards ?? []).map(({ vm: ref, ...forward }) => ({
    ...forward,
    vm: vms.find((vm) => vm.id === ref)?.name ?? ref,
    network: name,
  }));
}

function factVm(
  vm: Vm,
  ports: ReadonlyMap<string, PortState>,
  faults: readonly FactFault[],
  guest: GuestNet | undefined,
): FactVm {
  return {
    id: vm.id,
    name: vm.name,
    state: vm.status.state,
    isRouter: vm.spec.role === 'router',
    hasAgent: vm.status.agent?.connected,
    nics: vm.status.nics.map((nic, place) => {
      const index = nic.index ?? place;
      const asked = vm.spec.nics[place];
      const port = ports.get(portId(vm, index));
      const isFault = faults.some(({ spec }) => 'nic' in spec && spec.nic === `${vm.name}:eth${index}`);
      return {
        index,
        network: nic.network,
        mac: nic.mac,
        address: nic.address,
        address6: nic.address6,
        linkUp: asked?.link !== 'down',
        vlan: asked?.vlan,
        trunk: asked?.trunk,
        // What was added by hand has a number of its own.
        node: asked?.index === undefined ? /^(?<node>.*)\//.exec(vm.name)?.groups?.['node'] : undefined,
        connected: port?.connected,
        // What a fault loses is told as that.
        lost: isFault ? undefined : lostAt(port),
      };
    }),
    routes: vm.spec.routes,
    guest,
  };
}

function lostAt(port: PortState | undefined): FactNic['lost'] {
  const all = port?.impairments ?? [];
  const [out, into] = [all.some((each) => each.out?.loss === 1), all.some((each) => each.in?.loss === 1)];
  return out || into ? { out, in: into } : undefined;
}
