import { MAX_NICS, SkerryError, type Nic, type NicInfo, type NicSet, type NicStatus, type Vm } from '@skerry/api';
import type { LaunchNic } from '../hypervisors/index.ts';
import { splitVmName } from './model.ts';

/** Pure: NICs of a VM, and the devices of its machine that they are plugged into. ethN is always device N. */

/**
 * Devices that wait for NICs that are added while the machine runs: virtio-mmio, which a microvm has, knows no hot-plug. What
 * one costs a clone, and why a q35 has some instead of hot-plug, is in docs/decisions/nics.md.
 */
export const SPARE_NICS = { microvm: 1, q35: 3 } as const;

type Nics = Pick<Vm['spec'], 'nics'>;
type Plugged = Pick<Vm['status'], 'nics' | 'start'>;

export function nicIndexes(nics: ReadonlyArray<{ readonly index?: number | undefined }>): number[] {
  return nics.map(({ index }, place) => index ?? place);
}

export function spareMac(index: number): string {
  return `52:54:00:00:01:${index.toString(16).padStart(2, '0')}`;
}

/**
 * The NIC devices of a machine that starts: one for each NIC, those in between, and spare ones as far as there is room.
 * @param room for NICs
 */
export function nicDevices(
  nics: ReadonlyArray<{ readonly index: number; readonly mac: string; readonly tap?: LaunchNic['tap'] }>,
  machine: keyof typeof SPARE_NICS,
  room: number,
): LaunchNic[] {
  const needed = Math.max(0, ...nics.map(({ index }) => index + 1));
  const count = Math.max(needed, Math.min(room, MAX_NICS, nics.length + SPARE_NICS[machine]));
  return Array.from({ length: count }, (_, index) => {
    const nic = nics.find((each) => each.index === index);
    const socketName = `nic${index}`;
    if (nic === undefined) return { mac: spareMac(index), socketName, isSpare: true };
    return { mac: nic.mac, socketName, ...(nic.tap === undefined ? {} : { tap: nic.tap }) };
  });
}

/** Of a machine that runs. One that an older version started has no spare ones. */
export function deviceCount({ start, nics }: Plugged): number {
  return start?.nicDevices ?? nics.length;
}

/** What each NIC device of a running machine is called in its guest. */
export function deviceMacs(status: Plugged): string[] {
  const indexes = nicIndexes(status.nics);
  return Array.from(
    { length: deviceCount(status) },
    (_, index) => status.nics[indexes.indexOf(index)]?.mac ?? spareMac(index),
  );
}

export function nicInfos({ spec, status }: { readonly spec: Nics; readonly status: Plugged }): NicInfo[] {
  return nicIndexes(status.nics).map((index, place) => nicInfo({ spec, status }, index, place));
}

/** @throws SkerryError `internal`: there is none */
export function nicInfo(
  { spec, status }: { readonly spec: Nics; readonly status: Plugged },
  index: number,
  place = nicIndexes(status.nics).indexOf(index),
): NicInfo {
  const given = status.nics[place];
  if (given === undefined) throw new SkerryError('internal', `there is no NIC ${index}`);
  const { network, vlan, trunk, rateKbit, link = 'up' } = spec.nics[place] ?? { network: given.network };
  return {
    name: `eth${index}`,
    network,
    mac: given.mac,
    address: given.address,
    ...(given.address6 === undefined ? {} : { address6: given.address6 }),
    ...(vlan === undefined ? {} : { vlan }),
    ...(trunk === undefined ? {} : { trunk }),
    ...(rateKbit === undefined ? {} : { rateKbit }),
    link,
  };
}

/**
 * Where a new NIC goes: the lowest number that is free, or `wanted`.
 * @param devices of its machine
 * @param isRunning its machine has no more than these
 * @throws SkerryError `invalid`, `in-use`, `unsupported` (no spare device)
 */
export function placeOf(
  vm: Pick<Vm, 'name' | 'status'>,
  wanted: number | undefined,
  devices: number,
  isRunning: boolean,
): number {
  const used = new Set(nicIndexes(vm.status.nics));
  const free = Array.from({ length: MAX_NICS }, (_, index) => index).find((index) => !used.has(index));
  const index = wanted ?? free;
  if (wanted !== undefined && used.has(wanted)) {
    throw new SkerryError('in-use', `${vm.name} has an eth${wanted} already`, {
      remedy: `Its next free one is eth${free ?? 0}; see \`skerry nic list ${vm.name}\`.`,
    });
  }
  if (index !== undefined && index < devices) return index;
  if (isRunning) {
    const isFull = free === undefined || free >= devices;
    throw new SkerryError(
      'unsupported',
      isFull
        ? `${vm.name} has no spare NIC left: its machine was started with ${devices}`
        : `${vm.name} runs without an eth${index}: its machine was started with ${devices} NICs`,
      {
        remedy: `${isFull ? '' : `Its next free one is eth${free}. `}Stop it (\`skerry stop ${vm.name}\`), add the NIC, and start it: it has a device for each NIC then, and spare ones again.`,
        details: { devices },
      },
    );
  }
  throw new SkerryError('unsupported', `The machine of ${vm.name} has room for ${devices} NICs`, {
    remedy: 'Remove a NIC or a share that it does not need, or use the kernel `distro`, whose machine has more room.',
    details: { devices },
  });
}

/** With a NIC more, in the order of the numbers: all before it have the number of their place, or one of their own. */
export function withNic<S extends Nics, T extends Plugged>(
  { spec, status }: { readonly spec: S; readonly status: T },
  wanted: Nic & { readonly index: number },
  given: NicStatus,
): { spec: S; status: T } {
  const place = nicIndexes(status.nics).filter((index) => index < wanted.index).length;
  return {
    spec: { ...spec, nics: spec.nics.toSpliced(place, 0, wanted) },
    status: { ...status, nics: status.nics.toSpliced(place, 0, given) },
  };
}

/** Without one; the others keep their numbers, and the machine its devices. */
export function withoutNic<S extends Nics, T extends Plugged>(
  { spec, status }: { readonly spec: S; readonly status: T },
  index: number,
): { spec: S; status: T } {
  const indexes = nicIndexes(status.nics);
  const gap = indexes.indexOf(index);
  if (gap === -1) return { spec, status };
  const left = <N extends object>(nics: readonly N[]): N[] =>
    nics.map((nic, place) => (place > gap ? { ...nic, index: indexes[place] } : nic)).toSpliced(gap, 1);
  const { start } = status;
  return {
    spec: { ...spec, nics: left(spec.nics) },
    status: {
      ...status,
      nics: left(status.nics),
      ...(start === undefined ? {} : { start: { ...start, nicDevices: deviceCount(status) } }),
    },
  };
}

/** With one that is other than before. */
export function withChanged<S extends Nics, T extends Plugged>(
  { spec, status }: { readonly spec: S; readonly status: T },
  index: number,
  wanted: Nic,
  given: NicStatus,
): { spec: S; status: T } {
  const place = nicIndexes(status.nics).indexOf(index);
  if (place === -1) return { spec, status };
  return {
    spec: { ...spec, nics: spec.nics.with(place, wanted) },
    status: { ...status, nics: status.nics.with(place, given) },
  };
}

/** What becomes of a NIC when it is changed: what is left out stays, null takes it away. */
export function changedNic(before: Nic, { vlan, trunk, rateKbit, ...patch }: NicSet): Nic {
  const { vlan: oldVlan, trunk: oldTrunk, rateKbit: oldRateKbit, ...rest } = before;
  // One VLAN and a trunk of several are two answers to one question: the new one counts.
  const wanted = {
    ...rest,
    ...patch,
    vlan: vlan === undefined && !isGiven(trunk) ? oldVlan : vlan,
    trunk: trunk === undefined && !isGiven(vlan) ? oldTrunk : trunk,
    rateKbit: rateKbit === undefined ? oldRateKbit : rateKbit,
  };
  return Object.fromEntries(Object.entries(wanted).filter(([, value]) => isGiven(value))) as Nic;
}

function isGiven(value: unknown): boolean {
  return value !== undefined && value !== null;
}

/**
 * Of a node's VM only what was added by hand, which its file does not know.
 * @throws SkerryError `not-found`, `refused`
 */
export function assertOwnNic({ name, spec, status }: Pick<Vm, 'name' | 'spec' | 'status'>, index: number): void {
  const place = nicIndexes(status.nics).indexOf(index);
  if (place === -1) {
    const names = nicIndexes(status.nics).map((each) => `eth${each}`);
    throw new SkerryError('not-found', `${name} has no eth${index}`, {
      remedy: names.length === 0 ? 'It has no NIC.' : `It has ${names.join(', ')}: see \`skerry nic list ${name}\`.`,
    });
  }
  const { node } = splitVmName(name);
  if (node === undefined || spec.nics[place]?.index !== undefined) return;
  throw new SkerryError('refused', `eth${index} of ${name} is declared by the node ${node}`, {
    remedy: `Change it in the file of ${node}, then type \`skerry up FILE\`.`,
    details: { node },
  });
}
