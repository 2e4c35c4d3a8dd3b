import { nicRefParts, SkerryError, type LinkEnd, type LinkInfo, type Network, type Vm } from '@skerry/api';

/** Pure: links as what there is says they are: networks of mode `link`, and the NICs on them. */

/** What is said of a link that is half there: the next daemon takes away what it finds so. */
export const UNFINISHED = 'being made or taken away';

type Ended = Pick<Vm, 'name' | 'status'>;

export function endsOf(network: string, vms: readonly Ended[]): LinkEnd[] {
  return vms.flatMap(({ name, status }) =>
    status.nics.flatMap((nic, place) =>
      nic.network === network ? [{ vm: name, nic: `eth${nic.index ?? place}`, address: nic.address }] : [],
    ),
  );
}

/** The NIC of another VM on the same link; `isAskedOut`: `nic set --link down` has taken its cable out. */
export function otherEnd(
  network: string,
  vmId: string,
  vms: ReadonlyArray<Pick<Vm, 'id' | 'spec' | 'status'>>,
): { readonly vmId: string; readonly index: number; readonly isAskedOut: boolean } | undefined {
  for (const { id, spec, status } of vms) {
    if (id === vmId) continue;
    const place = status.nics.findIndex((nic) => nic.network === network);
    if (place === -1) continue;
    return { vmId: id, index: status.nics[place]?.index ?? place, isAskedOut: spec.nics[place]?.link === 'down' };
  }
  return undefined;
}

/** Whether it came with `link create`: NICs that a node declares have no number of their own. */
export function isByHand(network: string, vms: ReadonlyArray<Pick<Vm, 'spec' | 'status'>>): boolean {
  return vms.every(({ spec, status }) =>
    status.nics.every((nic, place) => nic.network !== network || spec.nics[place]?.index !== undefined),
  );
}

export function linkInfo({ name, status }: Network, vms: readonly Ended[], node?: string): LinkInfo {
  return {
    name,
    subnet: status.subnet,
    ends: endsOf(name, vms),
    ...(node === undefined ? {} : { node }),
    ...(status.message === undefined ? {} : { message: status.message }),
  };
}

/** @throws SkerryError `wrong-state`: a machine at an end of the link does not run, so there is no wire */
export function assertWire({ name, spec }: Pick<Network, 'name' | 'spec'>, vms: readonly Ended[]): void {
  if (spec.mode !== 'link') return;
  const ends = endsOf(name, vms).map((end) => vms.find((vm) => vm.name === end.vm));
  const atRest = ends.find((vm) => vm?.status.state !== 'running' && vm?.status.state !== 'paused');
  if (atRest === undefined && ends.length === 2) return;
  throw new SkerryError('wrong-state', `The other end of the link '${name}' is not there: nothing passes`, {
    remedy: atRest === undefined ? 'Make the link anew.' : `Start it: \`skerry start ${atRest.name}\`.`,
    details: { link: name },
  });
}

/**
 * @param ref one of its ends, with the VM's name or id, or its name or id
 * @throws SkerryError `not-found`
 */
export function findLink(ref: string, networks: readonly Network[], vms: readonly (Ended & Pick<Vm, 'id'>)[]): Network {
  const links = networks.filter(({ spec }) => spec.mode === 'link');
  const end = nicRefParts(ref);
  const vm = end && vms.find(({ name, id }) => name === end.vm || id === end.vm);
  const place = vm?.status.nics.findIndex((nic, index) => (nic.index ?? index) === end?.index) ?? -1;
  const found = links.find(({ name, id }) =>
    end === undefined ? name === ref || id === ref : name === vm?.status.nics[place]?.network,
  );
  if (found !== undefined) return found;
  const what =
    end === undefined
      ? `There is no link '${ref}'`
      : vm === undefined
        ? `There is no VM '${end.vm}'`
        : `${ref} is not the end of a link`;
  throw new SkerryError('not-found', what, { remedy: 'See `skerry link list`.' });
}
