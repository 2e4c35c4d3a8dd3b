import { SkerryError, type DeclaredNic, type Nic, type NicSet, type Vm } from '@skerry/api';
import { nicIndexes, placeOf, withNic, withoutNic } from './nic-plan.ts';

/** Pure: from the NICs that a VM has to those that its declaration names. */

export interface NicSteps {
  /** N of ethN, of NICs that go: done first. */
  readonly remove: readonly number[];
  /** What is other of those that stay: done next, for an address may be free then. */
  readonly set: ReadonlyArray<{ readonly index: number; readonly patch: NicSet }>;
  /** Each at the lowest number that is free then. */
  readonly add: ReadonlyArray<DeclaredNic & { readonly index: number }>;
}

export function networksOf(nics: ReadonlyArray<{ readonly network: string }>): string[] {
  return nics.map(({ network }) => network);
}

/**
 * What its NICs are after a declaration of them. One of which only the network is named stays as it is, and each keeps the MAC
 * and address that it was asked to have, unless it is declared with others.
 * @param declared undefined: as they are
 */
export function nicsAfter(
  nics: readonly Nic[],
  declared: ReadonlyArray<DeclaredNic | string> | undefined,
): readonly DeclaredNic[] {
  const left = nics.map(({ index: _, ...nic }) => nic);
  return (declared ?? left.slice()).map((wanted) => {
    const network = typeof wanted === 'string' ? wanted : wanted.network;
    const at = left.findIndex((nic) => nic.network === network);
    const [own] = at === -1 ? [] : left.splice(at, 1);
    if (typeof wanted === 'string') return own ?? { network };
    const { mac = own?.mac, address = own?.address, link, ...rest } = wanted;
    return {
      ...rest,
      ...(mac === undefined ? {} : { mac }),
      ...(address === undefined ? {} : { address }),
      ...(link === 'down' ? { link } : {}),
    };
  });
}

/**
 * What is on a network that is named stays there; of two on one network, the first.
 * @param wanted from `nicsAfter` @param devices that its machine has, or will have @param isRunning it has no more than these
 * @throws SkerryError `unsupported`: NICs would have to change places, or there is no device left
 */
export function planNics(vm: Vm, wanted: readonly DeclaredNic[], devices: number, isRunning: boolean): NicSteps {
  const left = [...wanted];
  const remove: number[] = [];
  const set: Array<{ index: number; patch: NicSet }> = [];
  for (const [place, index] of nicIndexes(vm.status.nics).entries()) {
    const own = vm.spec.nics[place];
    const at = left.findIndex(({ network }) => network === own?.network);
    const [stays] = at === -1 ? [] : left.splice(at, 1);
    if (own === undefined || stays === undefined) {
      remove.push(index);
      continue;
    }
    const patch = patchOf(own, stays);
    if (Object.keys(patch).length > 0) set.push({ index, patch });
  }
  let after: Pick<Vm, 'name' | 'spec' | 'status'> = vm;
  for (const index of remove) after = { ...after, ...withoutNic(after, index) };
  const add: Array<DeclaredNic & { index: number }> = [];
  for (const nic of left) {
    const index = placeOf(after, undefined, devices, isRunning);
    add.push({ ...nic, index });
    const { network } = nic;
    after = { ...after, ...withNic(after, { network, index }, { network, index, mac: '', address: '' }) };
  }
  const networks = networksOf(after.spec.nics);
  if (networks.join() === networksOf(wanted).join()) return { remove, set, add };
  throw new SkerryError(
    'unsupported',
    `NICs of ${vm.name} would change places: they would be on ${networks.join(', ')}, not on ${networksOf(wanted).join(', ')}`,
    {
      remedy: `Write \`networks: [${networks.join(', ')}]\`, or say it NIC by NIC: \`skerry nic remove ${vm.name} NIC\`, \`skerry nic add ${vm.name} --network NETWORK\`.`,
      details: { networks },
    },
  );
}

function patchOf(before: Nic, after: DeclaredNic): NicSet {
  const { vlan = null, trunk = null, rateKbit = null, link = 'up', mac, address } = after;
  const wanted: NicSet = { vlan, trunk, rateKbit, link, mac, address };
  const had: NicSet = {
    vlan: before.vlan ?? null,
    trunk: before.trunk ?? null,
    rateKbit: before.rateKbit ?? null,
    link: before.link ?? 'up',
    mac: before.mac,
    address: before.address,
  };
  const keys = Object.keys(had) as ReadonlyArray<keyof NicSet>;
  const differing = keys.filter((key) => JSON.stringify(wanted[key]) !== JSON.stringify(had[key]));
  return Object.fromEntries(differing.map((key) => [key, wanted[key]]));
}
