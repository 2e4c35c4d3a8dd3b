import type { DoctorItem } from '@skerry/api';
import { feature, memoryItems, networkItems } from './doctor-features.ts';
import { MANDATORY_LACKS } from './mandatory-plan.ts';
import type { HostFacts } from './probe.ts';

/** What the facts mean for who uses this host, the most important first. Pure. */
export function doctorReport(facts: HostFacts): DoctorItem[] {
  return [
    qemuItem(facts),
    acceleratorItem(facts),
    ...toolItems(facts),
    ...confinementItems(facts),
    ...networkItems(facts),
    ...memoryItems(facts),
    survivalItem(facts),
  ];
}

const OLDEST_QEMU = [7, 2] as const;

function qemuItem({ qemu, tools }: HostFacts): DoctorItem {
  const base = { id: 'qemu', title: 'QEMU' };
  const remedy = 'apt-get install qemu-system-x86 qemu-utils';
  if (qemu === undefined) {
    const missing = { ...base, state: 'missing', consequence: 'No VM can run.' } as const;
    const path = tools.find(({ name }) => name === 'qemu-system-x86_64')?.path;
    if (path === undefined) return { ...missing, found: 'not installed', remedy };
    // Broken, or on a host that is too slow or busy to tell.
    return { ...missing, found: `${path} does not say its version`, remedy: `Run \`${path} --version\` by hand.` };
  }
  const [major = 0, minor = 0] = qemu.version.split('.').map(Number);
  if (major < OLDEST_QEMU[0] || (major === OLDEST_QEMU[0] && minor < OLDEST_QEMU[1])) {
    const consequence = 'Skerry needs QEMU 7.2 or newer (its stream networks).';
    return {
      ...base,
      state: 'missing',
      found: qemu.version,
      consequence,
      remedy: 'Install the QEMU of Debian 12 or newer.',
    };
  }
  if (!qemu.machines.includes('microvm')) {
    const consequence = 'Micro-VMs run on q35 and start slower.';
    return { ...base, state: 'limited', found: `${qemu.version}, without microvm`, consequence, remedy };
  }
  return { ...base, state: 'ok', found: `${qemu.version} (${qemu.machines.join(', ')})`, consequence: 'VMs can run.' };
}

function acceleratorItem(facts: HostFacts): DoctorItem {
  const { accelerator, cpu } = facts;
  const base = { id: 'accelerator', title: 'Hardware virtualization', found: accelerator.reason };
  if (accelerator.kind === 'kvm')
    return { ...base, state: 'ok', consequence: 'VMs run at the speed of the processor.' };
  if (accelerator.kind === 'none') {
    const remedy =
      accelerator.cause === 'no-qemu'
        ? 'apt-get install qemu-system-x86'
        : 'Run qemu-system-x86_64 by hand to see its error.';
    return { ...base, state: 'missing', consequence: 'No VM can run.', remedy };
  }
  const remedies: Partial<Record<typeof accelerator.cause, string>> = {
    'no-permission':
      facts.uid === 0 ? 'chgrp kvm /dev/kvm && chmod 660 /dev/kvm' : 'adduser USER kvm, then log in again.',
    'no-device': cpu.virtualised
      ? 'This host is a VM: turn nested virtualization on in the hypervisor below it.'
      : cpu.virtualization === 'none'
        ? 'Turn VT-x or AMD-V on in the firmware setup.'
        : `modprobe ${cpu.virtualization === 'vmx' ? 'kvm_intel' : 'kvm_amd'}`,
    'guest-fails': cpu.virtualised
      ? 'Nested virtualization does not work here: ask whoever runs the hypervisor below.'
      : 'See dmesg for messages of kvm; update kernel and QEMU.',
  };
  const remedy = remedies[accelerator.cause];
  const consequence = 'VMs are emulated (TCG): 5 to 20 times slower, and no boundary between tenants.';
  return { ...base, state: 'limited', consequence, ...(remedy === undefined ? {} : { remedy }) };
}

/** Tools by what they are for; QEMU itself has its own line. */
const TOOL_GROUPS: ReadonlyArray<{
  id: string;
  title: string;
  tools: readonly string[];
  lack: DoctorItem['state'];
  use: string;
  consequence: string;
}> = [
  {
    id: 'tools-disks',
    title: 'Disk tools',
    tools: ['qemu-img', 'mke2fs'],
    lack: 'missing',
    use: 'Disks and images can be made.',
    consequence: 'No VM with a disk can be made.',
  },
  {
    id: 'tools-images',
    title: 'Image building',
    tools: ['apt-get', 'dpkg-deb', 'cpio', 'fakeroot', 'unshare', 'xz', 'zstd'],
    lack: 'limited',
    use: "Images can be built from the distribution's packages.",
    consequence: "Images can't be built here; those that are there still run.",
  },
  {
    id: 'tools-kernel',
    title: 'Kernel building',
    tools: ['gcc', 'make', 'flex', 'bison', 'bc'],
    lack: 'limited',
    use: 'The micro kernel can be built.',
    consequence: "Micro-VMs boot the distribution's kernel: about 2 s instead of 0.5.",
  },
  {
    id: 'tools-network',
    title: 'Network tools',
    tools: ['ip', 'tc', 'bridge', 'nft', 'dnsmasq'],
    lack: 'limited',
    use: 'The kernel datapath can be set up by root.',
    consequence: 'Networks use the switch in user space, which needs none of them.',
  },
  {
    id: 'tools-optional',
    title: 'Optional tools',
    tools: ['musl-gcc', 'passt', 'swtpm', 'virtiofsd'],
    lack: 'limited',
    use: 'All optional tools are there.',
    consequence:
      "Fallbacks serve: gcc for musl-gcc, QEMU's user network for passt, 9p for virtiofsd, no TPM in VMs without swtpm.",
  },
];

function toolItems({ tools }: HostFacts): DoctorItem[] {
  return TOOL_GROUPS.map(({ id, title, tools: names, lack, use, consequence }) => {
    const wanted = names.flatMap((name) => tools.filter((tool) => tool.name === name));
    const missing = wanted.filter((tool) => tool.path === undefined);
    if (missing.length === 0) {
      const found = wanted.map(({ name, version }) => (version === undefined ? name : `${name} ${version}`)).join(', ');
      return { id, title, state: 'ok', found, consequence: use };
    }
    const packages = [...new Set(missing.map((tool) => tool.package))].join(' ');
    const found = `without ${missing.map((tool) => tool.name).join(', ')}`;
    return { id, title, state: lack, found, consequence, remedy: `apt-get install ${packages}` };
  });
}

/** What confines a VM\'s process, and what of it a user without rights can\'t have. */
function confinementItems(facts: HostFacts): DoctorItem[] {
  const { uid, qemu } = facts;
  const items: DoctorItem[] = [];
  const own = { id: 'confine-uid', title: 'A user id per VM' };
  items.push(
    uid === 0
      ? { ...own, state: 'ok', found: 'the daemon is root', consequence: 'Each VM runs as a user of its own.' }
      : {
          ...own,
          state: 'limited',
          found: `the daemon is uid ${uid}`,
          consequence: 'All VMs run as you: a guest that breaks out of QEMU reaches your files and other VMs.',
          remedy: "For guests that you do not trust, use the system's daemon: sudo skerry daemon start",
        },
  );
  const groups = feature(facts, 'control-groups');
  // Where systemd is the init, its user manager makes the scope, with limits, whoever owns the group files.
  const limited = groups.state === 'yes' || feature(facts, 'systemd').state === 'yes';
  items.push(
    limited
      ? {
          id: 'confine-limits',
          title: 'Limits by control groups',
          state: 'ok',
          found: groups.found,
          consequence: 'Memory, processes and processor time of a VM are limited.',
        }
      : {
          id: 'confine-limits',
          title: 'Limits by control groups',
          state: 'limited',
          found: groups.found,
          consequence:
            "Nothing but its guest memory size limits what a VM's process takes; file sizes and descriptors still are.",
          remedy: 'Run the daemon as root, or under a systemd that delegates a control group.',
        },
  );
  const sandbox = qemu?.sandbox === true;
  items.push({
    id: 'confine-seccomp',
    title: 'System call filter of QEMU',
    state: sandbox ? 'ok' : 'limited',
    found: sandbox ? '-sandbox works' : '-sandbox does not work',
    consequence: sandbox
      ? "A VM's process can't start programs or gain rights."
      : 'A guest that breaks out of QEMU may start programs.',
    ...(sandbox ? {} : { remedy: "Use a QEMU with libseccomp, as the distribution's, on a kernel with seccomp." }),
  });
  items.push(mandatoryItem(facts));
  return items;
}

function mandatoryItem(facts: HostFacts): DoctorItem {
  const base = { id: 'confine-mac', title: 'AppArmor or SELinux' };
  const both = [feature(facts, 'apparmor'), feature(facts, 'selinux')];
  const active = both.filter(({ state }) => state === 'yes').map(({ id }) => id);
  if (active.length > 0) {
    const consequence = "The kernel's policy allows each VM's process its own files alone, no program and no network.";
    return { ...base, state: 'ok', found: active.join(', '), consequence };
  }
  const consequence = 'No policy of the kernel confines VMs in addition.';
  for (const { id, found } of both) {
    const lack = Object.values(MANDATORY_LACKS).find((each) => found.endsWith(each.found));
    if (lack !== undefined)
      return { ...base, state: 'limited', found: `${id}: ${found}`, consequence, remedy: lack.remedy };
  }
  return {
    ...base,
    state: 'limited',
    found: 'neither',
    consequence,
    remedy: "Boot a kernel with AppArmor (Debian's has it).",
  };
}

function survivalItem(facts: HostFacts): DoctorItem {
  const base = { id: 'survival', title: 'VMs outlive daemon and login' };
  const systemd = feature(facts, 'systemd');
  if (systemd.state !== 'yes') {
    const consequence = 'VMs run in sessions of their own and outlive the daemon; nothing starts the daemon at boot.';
    return { ...base, state: 'ok', found: `systemd ${systemd.found}`, consequence };
  }
  const linger = feature(facts, 'linger');
  if (facts.uid === 0 || linger.state === 'yes') {
    return {
      ...base,
      state: 'ok',
      found: facts.uid === 0 ? 'systemd, as root' : `lingering is ${linger.found}`,
      consequence: 'VMs run in scopes of their own.',
    };
  }
  const consequence = 'Your VMs end when your last session does.';
  return {
    ...base,
    state: 'limited',
    found: `lingering is ${linger.found}`,
    consequence,
    remedy: 'loginctl enable-linger',
  };
}
