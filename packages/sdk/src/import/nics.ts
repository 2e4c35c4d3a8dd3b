import { ipv4Number, isForVms, Mac, MAX_NICS, subnetAround } from '@skerry/api';
import type { Draft, DraftNic } from './draft.ts';
import type { Entry } from './entry.ts';

/** Pure: NICs, with addresses and MACs that are said of them. */

/** A NIC, and the VM that has it. */
export interface OwnedNic {
  readonly draft: Draft;
  readonly vm: string;
  readonly nic: DraftNic;
}

/** Undefined, after saying so, where there are as many as a VM can have. */
export function addNic(entry: Entry, nics: DraftNic[], network: string): DraftNic | undefined {
  if (nics.length === MAX_NICS) {
    entry.lost(`a VM has at most ${MAX_NICS} NICs`);
    return undefined;
  }
  const nic: DraftNic = { network };
  nics.push(nic);
  return nic;
}

const BY_NAME = 'Call the VM by its name, or choose another address.';

/** One of the network's subnet that nobody else has. Other VMs and the number of replicas have to be known. */
export function addressOf(entry: Entry, owned: OwnedNic): void {
  const text = entry.text();
  if (text !== undefined) giveAddress(entry, owned, text);
}

/** Such as 192.0.2.5/24: that is the subnet of a network which has none. */
export function addressWithPrefixOf(entry: Entry, owned: OwnedNic): void {
  const text = entry.text();
  if (text !== undefined) giveAddress(entry, owned, text.split('/')[0] ?? '', subnetAround(text));
}

/** @param otherwise the subnet that a network has which says none, if the address is one of it */
export function giveAddress(entry: Entry, owned: OwnedNic, text: string, otherwise?: string): void {
  const { draft, nic } = owned;
  const network = draft.networks.get(nic.network);
  const subnet = network?.subnet ?? (otherwise !== undefined && isForVms(text, otherwise) ? otherwise : undefined);
  if (ipv4Number(text) === undefined) {
    entry.lost(`'${text}' is no IPv4 address`);
  } else if (subnet === undefined) {
    entry.lost(
      `the network ${nic.network} has no subnet that ${text} is in: a free one is chosen, and addresses of it`,
      'Call the VM by its name, or write `subnet` for the network and `address` for the NIC.',
    );
  } else if (!isForVms(text, subnet)) {
    entry.lost(`${text} is no address for a VM in ${subnet}: the first three and the last are not`, BY_NAME);
  } else if (isTaken(owned, 'address', text)) {
    entry.lost(`${text} belongs to another VM`, BY_NAME);
  } else if (!isOfSeveral(entry, owned)) {
    nic.address = text;
    draft.networks.set(nic.network, { ...network, subnet });
  }
}

/** As Docker takes them: with colons, hyphens or dots. */
export function macOf(entry: Entry, owned: OwnedNic): void {
  const text = entry.text();
  if (text === undefined) return;
  const digits = text.toLowerCase().replaceAll(/[:.-]/g, '');
  const mac = digits.match(/../g)?.join(':') ?? '';
  if (digits.length !== 12 || !Mac.safeParse(mac).success) entry.lost(`'${text}' is no MAC`);
  // IEEE 802 section 8.2: the lowest bit of the first octet marks a group.
  else if (Number.parseInt(digits.slice(0, 2), 16) % 2 === 1)
    entry.lost(`${text} is the address of a group, not of a NIC`);
  else if (owned.nic.mac !== undefined && owned.nic.mac !== mac) entry.lost(`the NIC has the MAC ${owned.nic.mac}`);
  else if (isTaken(owned, 'mac', mac)) entry.lost(`${text} belongs to another NIC of the network ${owned.nic.network}`);
  else if (!isOfSeveral(entry, owned)) owned.nic.mac = mac;
}

function isTaken({ draft, nic }: OwnedNic, key: 'address' | 'mac', value: string): boolean {
  const all = [...draft.vms.values()].flatMap(({ nics = [] }) => nics);
  return all.some((other) => other !== nic && other.network === nic.network && other[key] === value);
}

function isOfSeveral(entry: Entry, { draft, vm }: OwnedNic): boolean {
  const replicas = draft.vms.get(vm)?.replicas ?? 1;
  if (replicas > 1) entry.lost(`there are ${replicas} of ${vm}, and an address is one's`, 'Have one replica.');
  return replicas > 1;
}
