import { z } from 'zod';

/** What a host is and can do, as it was probed; and what the doctor makes of that. */

export const HostFeatureId = z.enum([
  'user-namespaces',
  'tap',
  'bridge',
  'vlan-filtering',
  'vlan',
  'vxlan',
  'netem',
  'netem-seed',
  'ifb',
  'tbf',
  'htb',
  'nftables',
  'bridge-filters',
  'vhost-net',
  'vsock',
  'control-groups',
  'ksm',
  'huge-pages',
  'apparmor',
  'selinux',
  'systemd',
  'linger',
]);
export type HostFeatureId = z.infer<typeof HostFeatureId>;

export const HostFeature = z.object({
  id: HostFeatureId,
  /** `unknown`: this user can't tell. */
  state: z.enum(['yes', 'no', 'unknown']),
  /** What was seen, in words. */
  found: z.string(),
});
export type HostFeature = z.infer<typeof HostFeature>;

export const HostTool = z.object({
  name: z.string(),
  /** The Debian package that brings it. */
  package: z.string(),
  /** Absent: not installed. */
  path: z.string().optional(),
  version: z.string().optional(),
});
export type HostTool = z.infer<typeof HostTool>;

export const HostAccelerator = z.object({
  kind: z.enum(['kvm', 'tcg', 'none']),
  cause: z.enum(['guest-runs', 'no-device', 'no-permission', 'guest-fails', 'no-qemu', 'qemu-fails']),
  /** One sentence. */
  reason: z.string(),
  /** The group that a VM's own uid needs to open /dev/kvm; absent if it needs none. */
  kvmGid: z.int().optional(),
});
export type HostAccelerator = z.infer<typeof HostAccelerator>;

export const HostQemu = z.object({
  version: z.string(),
  path: z.string(),
  /** Of microvm, pc and q35. */
  machines: z.array(z.string()),
  /** Backends of -netdev. */
  netdevs: z.array(z.string()),
  /** Whether -sandbox works (built with libseccomp, and the kernel has seccomp). */
  sandbox: z.boolean(),
});
export type HostQemu = z.infer<typeof HostQemu>;

export const HostInfo = z.object({
  version: z.literal(1),
  probedAt: z.iso.datetime(),
  hostname: z.string(),
  /** Release of the kernel, as of uname -r. */
  kernel: z.string(),
  architecture: z.string(),
  uid: z.int(),
  cpu: z.object({
    model: z.string(),
    cores: z.int(),
    virtualization: z.enum(['vmx', 'svm', 'none']),
    /** The host is itself a virtual machine. */
    virtualised: z.boolean(),
    /** Rate of the time stamp counter; absent where there is none, or vmjail is not built. */
    tscKhz: z.int().optional(),
  }),
  memoryMib: z.int(),
  accelerator: HostAccelerator,
  qemu: HostQemu.optional(),
  tools: z.array(HostTool),
  features: z.array(HostFeature),
});
export type HostInfo = z.infer<typeof HostInfo>;

/** One line of `skerry host doctor`. */
export const DoctorItem = z.object({
  id: z.string(),
  title: z.string(),
  state: z.enum(['ok', 'limited', 'missing']),
  found: z.string(),
  consequence: z.string(),
  remedy: z.string().optional(),
});
export type DoctorItem = z.infer<typeof DoctorItem>;
