import { SkerryError } from '@skerry/api';
import { givenAddress, isAddress, isIpv6, normal, ownAddresses, prefixOf } from './explain-address-model.ts';
import { type FactVm, guestOf, type NetFacts, networkOf, routeTo } from './explain-model.ts';

/** Who is meant by an end, and by which addresses they speak. Pure. */

export type AskedEnd =
  | { readonly kind: 'vm'; readonly vm: FactVm; readonly address?: string }
  | { readonly kind: 'host' }
  /** Of nobody that we know. */
  | { readonly kind: 'address'; readonly address: string };

/** A VM that is called host is itself. */
const HOST = 'host';

/** @throws SkerryError `not-found` */
export function endOf(text: string, facts: NetFacts): AskedEnd {
  const { vms } = facts;
  if (isAddress(text)) {
    const address = normal(text);
    const vm = vms.find(({ nics }) =>
      nics.some((nic) => {
        const network = networkOf(facts, nic.network);
        return network !== undefined && !isLinkLocal(address) && ownAddresses(nic, network).includes(address);
      }),
    );
    return vm === undefined ? { kind: 'address', address } : { kind: 'vm', vm, address };
  }
  const vm = vms.find(({ name, id }) => name === text || id === text);
  if (vm !== undefined) return { kind: 'vm', vm };
  if (text === HOST) return { kind: 'host' };
  throw new SkerryError('not-found', `There is no VM '${text}'`, {
    remedy: 'See `skerry list`; `host` is this host.',
  });
}

/** The target's address that the sender would use: on a network of both, else one that it has a way to. */
export function addressFor(to: FactVm, from: FactVm, isV6: boolean, facts: NetFacts): string | undefined {
  const nics = to.nics.filter((nic) => givenAddress(nic, isV6) !== '');
  const own = from.nics.map(({ network }) => network);
  const shared = nics
    .filter(({ network }) => own.includes(network))
    .toSorted((a, b) => own.indexOf(a.network) - own.indexOf(b.network));
  const routed = nics.find((nic) => {
    const route = routeTo(guestOf(from, facts), givenAddress(nic, isV6));
    return route !== undefined && prefixOf(route.to) > 0;
  });
  const nic = shared[0] ?? routed ?? nics[0];
  return nic === undefined ? undefined : givenAddress(nic, isV6);
}

/** As the kernel would choose it: of the interface that it leaves by. */
export function sourceOf(from: FactVm, target: string, facts: NetFacts): string {
  const isV6 = isIpv6(target);
  const guest = guestOf(from, facts);
  const route = routeTo(guest, target);
  const device = guest.interfaces.find(({ name }) => name === route?.dev);
  const nic = from.nics.find(({ mac }) => mac === device?.mac);
  const addresses = (device?.addresses ?? []).filter(
    (each) => isIpv6(each) === isV6 && isLinkLocal(each) === isLinkLocal(target),
  );
  const given = nic === undefined ? '' : givenAddress(nic, isV6);
  if (addresses.includes(given)) return given;
  const first = from.nics[0];
  return addresses[0] ?? ((first === undefined ? '' : givenAddress(first, isV6)) || (isV6 ? '::' : '0.0.0.0'));
}

function isLinkLocal(address: string): boolean {
  return /^fe[89ab]/.test(address);
}
