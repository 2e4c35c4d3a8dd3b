import type { VlanRange } from '@skerry/api';
import type { Passing } from './forwarding-plan.ts';
import type { NftTable } from './nft-model.ts';
import type { Queue } from './queue-plan.ts';

/** What the kernel is to hold for networks: plain data, from which steps are computed. */

/** What of the host a plan depends on. */
export interface KernelHost {
  /** Of the instance: see `tagOf`. */
  readonly tag: string;
  /** DNS servers that networks with a way out ask. */
  readonly resolvers: readonly string[];
  /** What it passes on since we have made it, and what therefore is to be kept from passing. */
  readonly passing: Passing;
  /** Where guests are, of whatever network: nobody is led out to there. See `closedRanges`. */
  readonly closed: readonly string[];
  readonly vlanFiltering: boolean;
  /** It has a default route of IPv6, so guests can be led out by it. */
  readonly leadsOut6: boolean;
  /** netem takes a seed. */
  readonly netemSeed: boolean;
}

/** A network namespace and what is in it. */
export interface Place {
  /** Absent: the daemon's own. */
  readonly netns?: string | undefined;
  readonly links: readonly Link[];
  readonly tables: readonly NftTable[];
}

export type Link = Bridge | Tap | Ifb | Vxlan;

export interface Bridge {
  readonly kind: 'bridge';
  readonly name: string;
  readonly mac: string;
  readonly mtu: number;
  /** `10.0.0.1/24`, `fd00::1/64`; none: nobody of the host is in it. */
  readonly addresses: readonly string[];
  /** Frames between its ports pass the filters for what is routed, too (br_netfilter). */
  readonly filtersIp: boolean;
  readonly filtersVlans: boolean;
  /** Of ports that nobody has given another, where the kernel can filter VLANs. */
  readonly ownVlan?: number | undefined;
  /** What comes from here may be for 127.0.0.1: answers to forwards from there. */
  readonly routesLoopback: boolean;
}

export interface PortVlans {
  readonly untagged?: number | undefined;
  readonly tagged: readonly VlanRange[];
}

/** Made by vmjail, and gone with the VM: one that is not there is not waited for. */
export interface Tap {
  readonly kind: 'tap';
  readonly name: string;
  readonly master: string;
  readonly mtu: number;
  /** What its guest gets waits here. */
  readonly queue?: Queue | undefined;
  /** Where the kernel can filter: the VLAN that has no tag here, and those that have. */
  readonly vlans?: PortVlans | undefined;
}

/** What a guest sends waits here: an interface has a queue for what leaves it only. */
export interface Ifb {
  readonly kind: 'ifb';
  readonly name: string;
  readonly tap: string;
  readonly queue: Queue;
}

export interface Vxlan {
  readonly kind: 'vxlan';
  readonly name: string;
  readonly master: string;
  readonly mtu: number;
  readonly vni: number;
  readonly peers: readonly string[];
}

/** A network's DHCP and DNS. */
export interface DnsServer {
  readonly networkId: string;
  /** Of one for VMs that are on further networks as well; absent: the network's own, with DHCP. */
  readonly view?: string | undefined;
  readonly netns?: string | undefined;
  /** Without the files' directory, which `{dir}` stands for. */
  readonly args: readonly string[];
  /** Hosts file: addresses and names. */
  readonly hosts: string;
  /** Of --dhcp-hostsfile. */
  readonly dhcpHosts: string;
}

/** A NIC: the tap that it is to have, and where its device may listen instead of having one. */
export interface Relay {
  readonly tap: string;
  readonly socketPath: string;
}

/** A bridge in the host's own namespace. */
export interface OwnBridge {
  readonly name: string;
  /** `lan`: its guests are the LAN's, and nothing is routed for them. */
  readonly leads: 'out' | 'nowhere' | 'lan';
}

export interface KernelPlan {
  readonly places: readonly Place[];
  readonly relays: readonly Relay[];
  readonly bridges: readonly OwnBridge[];
  readonly servers: readonly DnsServer[];
  /** Packets are passed on between interfaces. */
  readonly isRouter: boolean;
}
