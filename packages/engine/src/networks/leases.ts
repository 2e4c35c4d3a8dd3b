import type { Lease, Vm } from '@skerry/api';
import { parseIpv4 } from '@skerry/switch/address';

/** Who has an address of a network. Pure. */

/** What a switch says of its DHCP range. */
export interface GivenLease {
  readonly mac: string;
  readonly address: string;
  readonly expiresAtMs: number;
}

/** Those of VMs, and those that guests have got of the range, in the order of addresses, IPv4 first. */
export function allLeases(network: string, vms: readonly Vm[], given: readonly GivenLease[]): Lease[] {
  const asked = given.map(({ mac, address, expiresAtMs }): Lease => {
    const who = vms.flatMap((vm) =>
      vm.status.nics.flatMap((nic, index) =>
        nic.network === network && nic.mac === mac ? [{ vm: vm.name, nic: `eth${index}` }] : [],
      ),
    );
    return { address, mac, ...who[0], kind: 'dhcp', expiresAt: new Date(expiresAtMs).toISOString() };
  });
  return [...fixedLeases(network, vms), ...asked].toSorted((a, b) => orderOf(a.address) - orderOf(b.address));
}

/** VMs keep theirs until they are deleted, whether they run or not. In the order of addresses, IPv4 first. */
export function fixedLeases(network: string, vms: readonly Vm[]): Lease[] {
  const leases = vms.flatMap((vm) =>
    vm.status.nics.flatMap((nic, index): Lease[] => {
      if (nic.network !== network) return [];
      const addresses = [nic.address, nic.address6].filter((address) => address !== undefined && address !== '');
      return addresses.map((address) => ({
        address: address ?? '',
        mac: nic.mac,
        vm: vm.name,
        nic: `eth${nic.index ?? index}`,
        kind: 'fixed',
      }));
    }),
  );
  return leases.toSorted((a, b) => orderOf(a.address) - orderOf(b.address));
}

function orderOf(address: string): number {
  return parseIpv4(address) ?? Number.MAX_SAFE_INTEGER;
}

/**
 * What dnsmasq keeps in its lease file: `EXPIRY MAC ADDRESS NAME CLIENT-ID`, a line each, in seconds since 1970; 0: never, which
 * only VMs have, whose addresses are known. After a line `duid` come those of DHCPv6, which it does not give.
 */
export function parseDnsmasqLeases(text: string): GivenLease[] {
  return text.split('\n').flatMap((line): GivenLease[] => {
    const [expiry = '', mac = '', address = ''] = line.split(' ');
    if (!/^[1-9]\d*$/.test(expiry) || parseIpv4(address) === undefined) return [];
    return [{ mac, address, expiresAtMs: Number(expiry) * 1000 }];
  });
}
