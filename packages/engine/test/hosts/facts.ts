import type { HostFacts } from '../../src/hosts/index.ts';
import { TOOLS } from '../../src/hosts/tools.ts';

const features = [
  'user-namespaces tap bridge vlan-filtering vlan vxlan netem netem-seed ifb tbf htb nftables bridge-filters vhost-net vsock control-groups',
  'ksm huge-pages apparmor selinux systemd linger',
];

/** A host of root's that has all. */
export const fullHost: HostFacts = {
  version: 1,
  probedAt: '2026-01-02T03:04:05.000Z',
  hostname: 'full',
  kernel: '6.1.0',
  architecture: 'x64',
  uid: 0,
  cpu: { model: 'Some CPU', cores: 8, virtualization: 'svm', virtualised: false, tscKhz: 2_400_000 },
  memoryMib: 16_384,
  accelerator: { kind: 'kvm', cause: 'guest-runs', reason: 'A guest runs under KVM', kvmGid: 105 },
  qemu: {
    version: '7.2.22',
    path: '/usr/bin/qemu-system-x86_64',
    machines: ['microvm', 'pc', 'q35'],
    netdevs: ['stream', 'user'],
    sandbox: true,
  },
  tools: TOOLS.map((tool) => ({
    name: tool.name,
    package: tool.package,
    path: `/usr/bin/${tool.name}`,
    version: '1.2.3',
  })),
  features: features
    .join(' ')
    .split(' ')
    .map((id) => ({ id: id as HostFacts['features'][number]['id'], state: 'yes', found: 'works' })),
};

/** A user's host that has nothing. */
export const bareHost: HostFacts = {
  version: 1,
  probedAt: '2026-01-02T03:04:05.000Z',
  hostname: 'bare',
  kernel: '6.1.0',
  architecture: 'x64',
  uid: 1000,
  cpu: { model: 'Some CPU', cores: 2, virtualization: 'none', virtualised: true },
  memoryMib: 2048,
  accelerator: { kind: 'none', cause: 'no-qemu', reason: 'qemu-system-x86_64 is not installed' },
  tools: TOOLS.map((tool) => ({ name: tool.name, package: tool.package })),
  features: fullHost.features.map(({ id }) => ({ id, state: 'unknown', found: 'needs root to tell' })),
};
