import type { DoctorItem, HostFeatureId } from '@skerry/api';
import type { HostFacts } from './probe.ts';

/** The doctor's lines that a kernel feature alone decides. Pure. */

const NETWORK_ITEMS: ReadonlyArray<{ id: HostFeatureId; title: string; yes: string; no: string; remedy?: string }> = [
  {
    id: 'tap',
    title: 'Tap devices',
    yes: 'VMs can join kernel networks.',
    no: 'VMs use the switch in user space.',
    remedy: 'modprobe tun',
  },
  {
    id: 'bridge',
    title: 'Bridges',
    yes: 'Kernel networks can be made.',
    no: 'Networks use the switch in user space.',
    remedy: 'modprobe bridge',
  },
  {
    id: 'vlan-filtering',
    title: 'VLAN filtering',
    yes: 'One bridge carries many VLANs.',
    no: 'A bridge per VLAN, or the switch in user space, stands in.',
  },
  {
    id: 'vlan',
    title: 'VLAN interfaces (802.1Q)',
    yes: 'Host interfaces can join VLANs.',
    no: "No VLAN of the host's network can be joined.",
    remedy: 'modprobe 8021q',
  },
  {
    id: 'vxlan',
    title: 'VXLAN',
    yes: 'Networks can span hosts in the kernel.',
    no: "Networks can't span hosts in the kernel.",
    remedy: 'modprobe vxlan',
  },
  {
    id: 'netem',
    title: 'Impairments in the kernel (netem)',
    yes: 'Links of kernel networks can be impaired.',
    no: 'Only the switch in user space impairs links.',
    remedy: 'modprobe sch_netem',
  },
  {
    id: 'netem-seed',
    title: 'Seeds of impairments in the kernel',
    yes: 'The same seed impairs a link of a kernel network in the same way again.',
    no: 'Impairments of kernel networks are drawn anew each time.',
    remedy: 'Linux 6.6 and iproute2 6.6 have them.',
  },
  {
    id: 'ifb',
    title: 'Queues for what guests send (ifb)',
    yes: 'Kernel networks impair and limit what guests send.',
    no: 'NICs of kernel networks have neither impairments nor rates.',
    remedy: 'modprobe -a ifb act_mirred cls_u32 sch_ingress',
  },
  {
    id: 'tbf',
    title: 'Rate limits (tbf)',
    yes: 'Rates of kernel networks can be limited.',
    no: 'Only the switch in user space limits rates.',
    remedy: 'modprobe sch_tbf',
  },
  {
    id: 'htb',
    title: 'Shared rates (htb)',
    yes: 'Rates can be shared out.',
    no: 'Only the switch in user space shares rates out.',
    remedy: 'modprobe sch_htb',
  },
  {
    id: 'nftables',
    title: 'Packet filter (nftables)',
    yes: 'Kernel networks have NAT and filters.',
    no: 'NAT and filters come from the user datapath.',
    remedy: 'modprobe nf_tables',
  },
  {
    id: 'bridge-filters',
    title: 'Filters within a bridge (br_netfilter)',
    yes: 'Kernel networks can have access lists.',
    no: 'Only networks of the user datapath have access lists.',
    remedy: 'modprobe br_netfilter (mind that it filters all bridges, unless net.bridge.bridge-nf-call-iptables is 0)',
  },
  {
    id: 'vhost-net',
    title: 'vhost-net',
    yes: 'Kernel networks run at full speed.',
    no: 'Packets of kernel networks pass through QEMU.',
    remedy: 'modprobe vhost_net',
  },
  {
    id: 'vsock',
    title: 'vsock',
    yes: 'Guests can be reached by vsock.',
    no: 'Guests are reached by a serial port, which always works.',
    remedy: 'modprobe vhost_vsock',
  },
];

export function networkItems(facts: HostFacts): DoctorItem[] {
  return NETWORK_ITEMS.map(({ id, title, yes, no, remedy }) => {
    const { state, found } = feature(facts, id);
    if (state === 'yes') return { id, title, state: 'ok', found, consequence: yes };
    if (state === 'unknown') {
      return {
        id,
        title,
        state: 'limited',
        found,
        consequence: no,
        remedy: 'sudo skerry host doctor tells whether the kernel has it.',
      };
    }
    return { id, title, state: 'limited', found, consequence: no, ...(remedy === undefined ? {} : { remedy }) };
  });
}

export function memoryItems(facts: HostFacts): DoctorItem[] {
  const ksm = feature(facts, 'ksm');
  const hugePages = feature(facts, 'huge-pages');
  return [
    {
      id: 'ksm',
      title: 'Shared equal pages (KSM)',
      found: ksm.found,
      ...(ksm.state === 'yes'
        ? { state: 'ok', consequence: 'Equal pages of full VMs are kept once.' }
        : {
            state: 'limited',
            consequence: 'Full VMs of one image take more memory; clones share theirs anyway.',
            remedy: 'echo 1 > /sys/kernel/mm/ksm/run (mind that sharing between tenants leaks timing)',
          }),
    },
    {
      id: 'huge-pages',
      title: 'Huge pages',
      found: hugePages.found,
      ...(hugePages.state === 'yes'
        ? { state: 'ok', consequence: 'VMs that ask for huge pages get them.' }
        : {
            state: 'limited',
            consequence: 'VMs that ask for reserved huge pages are refused.',
            remedy: 'sysctl vm.nr_hugepages=N',
          }),
    },
  ];
}

export function feature(facts: HostFacts, id: HostFeatureId): HostFacts['features'][number] {
  return facts.features.find((one) => one.id === id) ?? { id, state: 'unknown', found: 'not probed' };
}
