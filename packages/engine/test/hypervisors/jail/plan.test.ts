import { describe, expect, it } from 'vitest';
import { planJail, type JailSpec } from '../../../src/hypervisors/jail/index.ts';

const spec: JailSpec = {
  dir: '/var/lib/skerry/vms/v1',
  command: ['qemu-system-x86_64', '-chardev', 'socket,id=qmp,fd={qmp},server=on,wait=off'],
  owner: { uid: 720_001, gid: 720_001, groups: [105] },
  group: { name: 'skerry/vm-1', memoryMaxBytes: 268_435_456, pidsMax: 64, cpuMaxPercent: 150 },
  rlimits: { nofile: 256, fsize: 1_073_741_824 },
  nice: 5,
  listen: { qmp: '/run/skerry/v/1/qmp' },
  open: { disk: { path: '/var/lib/skerry/vms/v1/disk.qcow2', mode: 'rw' } },
  log: { path: '/var/lib/skerry/vms/v1/qemu.log', capBytes: 1_048_576 },
};

describe('planJail', () => {
  it('gives vmjail the control group where no systemd runs', () => {
    expect(planJail(spec, { vmjailPath: '/opt/vmjail', scope: 'none' }).join(' ')).toMatchInlineSnapshot(
      `"/opt/vmjail --dir /var/lib/skerry/vms/v1 --uid 720001 --gid 720001 --group 105 --cgroup skerry/vm-1 --memory-max 268435456 --pids-max 64 --cpu-max 150 --rlimit nofile=256 --rlimit fsize=1073741824 --nice 5 --listen qmp=/run/skerry/v/1/qmp --open disk=/var/lib/skerry/vms/v1/disk.qcow2:rw --log /var/lib/skerry/vms/v1/qemu.log:1048576 -- qemu-system-x86_64 -chardev socket,id=qmp,fd={qmp},server=on,wait=off"`,
    );
  });

  it('gives the limits to a transient scope of the system manager', () => {
    expect(planJail(spec, { vmjailPath: '/opt/vmjail', scope: 'system' }).join(' ')).toMatchInlineSnapshot(
      `"systemd-run --scope --quiet --collect --unit=skerry-vm-1.scope --slice=skerry.slice -p MemoryMax=268435456 -p TasksMax=65 -p CPUQuota=150% -- /opt/vmjail --dir /var/lib/skerry/vms/v1 --uid 720001 --gid 720001 --group 105 --rlimit nofile=256 --rlimit fsize=1073741824 --nice 5 --listen qmp=/run/skerry/v/1/qmp --open disk=/var/lib/skerry/vms/v1/disk.qcow2:rw --log /var/lib/skerry/vms/v1/qemu.log:1048576 -- qemu-system-x86_64 -chardev socket,id=qmp,fd={qmp},server=on,wait=off"`,
    );
  });

  it('names what servers give, and their command word by word', () => {
    const served = { share0: { path: '/srv/a b', readonly: true }, share1: { path: '/x', readonly: false } };
    const argv = planJail(
      { dir: '/d', command: ['true'], served, server: ['/usr/libexec/virtiofsd', '-o', 'source=/mnt'] },
      { vmjailPath: '/opt/vmjail', scope: 'none' },
    );
    expect(argv).toEqual([
      ...['/opt/vmjail', '--dir', '/d', '--served', 'share0=/srv/a b:ro', '--served', 'share1=/x:rw'],
      ...['--server', '/usr/libexec/virtiofsd', '--server', '-o', '--server', 'source=/mnt', '--', 'true'],
    ]);
  });

  it('asks the user manager without root, and leaves out what is not given', () => {
    expect(planJail({ dir: '/d', command: ['true'] }, { vmjailPath: '/opt/vmjail', scope: 'user' }).join(' ')).toBe(
      'systemd-run --user --scope --quiet --collect -- /opt/vmjail --dir /d -- true',
    );
  });
});
