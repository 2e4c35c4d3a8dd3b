import { type FaultSpecInput } from '@skerry/api';
import type { Skerry } from '@skerry/sdk';
import { NOTHING_RUNS, type NicOf, type VmOf, type World } from './networks-world.ts';
import type { Random } from './random.ts';

/** What can be asked, and what steps of the networks case have in common. Pure. */

export interface Step {
  readonly what: string;
  /** What there is once it is done; where it is cut off, this or what was before. */
  readonly after: World;
  /** Where else it may be found when it is cut off. */
  readonly between?: readonly World[];
  /** It has to be refused, with this code. */
  readonly refusal?: string;
  /** It is done by then, mostly. */
  readonly usualMs: number;
  readonly ask: (client: Skerry) => Promise<unknown>;
  readonly fault?: FaultSpecInput;
  /** The VM whose faults it ends. */
  readonly clears?: string;
}

export interface Places {
  /** Ports of the host that nobody else uses. */
  readonly ports: readonly number[];
  /** Of all networks but links, which are the switch's, and are not made where this is the kernel. */
  readonly datapath: 'user' | 'kernel';
}

export type Maker = (world: World, random: Random, places: Places) => Step | undefined;

export const NODE = 'pair';
export const NETWORKS = ['n0', 'n1', 'n2', 'n3'];
export const VMS = ['v0', 'v1', 'v2'];
export const MOST_ALIVE = 4;
export const MOST_NICS = 3;
export const MEMORY_MIB = 64;

export function copyOf(world: World): World {
  return structuredClone(world);
}

export const running = (world: World): string[] =>
  [...world.vms].flatMap(([name, { state }]) => (state === 'running' ? [name] : []));
export const own = (world: World): string[] => VMS.filter((name) => world.vms.has(name));
export const lans = (world: World): string[] => NETWORKS.filter((name) => world.networks.has(name));
export const links = (world: World): string[] =>
  [...world.networks].flatMap(([name, { mode }]) => (mode === 'link' ? [name] : []));
export const usersOf = (world: World, network: string): string[] =>
  [...world.vms].flatMap(([name, { nics }]) =>
    [...nics.values()].some((nic) => nic.network === network) ? [name] : [],
  );
export const nicsOf = (
  world: World,
  of: (vm: string, nic: NicOf, index: number) => boolean,
): Array<[string, number, NicOf]> =>
  [...world.vms].flatMap(([vm, { nics }]) =>
    [...nics]
      .filter(([index, nic]) => of(vm, nic, index))
      .map(([index, nic]): [string, number, NicOf] => [vm, index, nic]),
  );
export const freeIndex = ({ nics }: VmOf): number => [0, 1, 2, 3, 4, 5, 6, 7].find((index) => !nics.has(index)) ?? 8;
export const nic = (network: string, more: Partial<NicOf> = {}): NicOf => ({
  network,
  vlan: undefined,
  rateKbit: undefined,
  link: 'up',
  address: undefined,
  pending: undefined,
  ...more,
});
export const STOPPED = { state: 'stopped', process: NOTHING_RUNS, devices: undefined } as const;
export const STARTED = { state: 'running', process: undefined, devices: undefined } as const;
export const vmOf = (world: World, name: string): VmOf => world.vms.get(name) as VmOf;

/** Captures of a VM that has ended, or of a NIC that is gone, run no longer; nor do those at the other end of its links. */
export function withoutCaptures(world: World, prefix: string): void {
  const [vm = '', name = ''] = prefix.split(':');
  const gone = [...(world.vms.get(vm)?.nics ?? [])].filter(([index]) => name === '' || name === `eth${index}`);
  const wires = gone
    .map(([, { network }]) => network)
    .filter((network) => world.networks.get(network)?.mode === 'link');
  for (const each of world.captures) if (each.startsWith(prefix)) world.captures.delete(each);
  for (const [other, index, { network }] of nicsOf(world, () => true)) {
    if (wires.includes(network)) world.captures.delete(`${other}:eth${index}`);
  }
}

/** A link goes with both of its NICs. */
export function withoutLink(world: World, name: string): void {
  for (const [vm, index] of nicsOf(world, (_, { network }) => network === name)) {
    withoutCaptures(world, `${vm}:eth${index}`);
    vmOf(world, vm).nics.delete(index);
  }
  world.networks.delete(name);
}

/** As they go before a VM that is deleted. @returns what is left */
export function withoutLinksOf(world: World, vm: string): World {
  const left = copyOf(world);
  for (const { network } of vmOf(world, vm).nics.values()) {
    if (world.networks.get(network)?.mode === 'link') withoutLink(left, network);
  }
  return left;
}

export function some<T>(random: Random, from: readonly T[]): T | undefined {
  return from.length === 0 ? undefined : random.pick(from);
}
