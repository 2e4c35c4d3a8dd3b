import { randomBytes } from 'node:crypto';
import { mkdir, open, readFile, rename, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { HostAccelerator } from '@skerry/api';
import { run } from './run.ts';

/**
 * Is KVM usable? Only a guest that runs can tell: /dev/kvm may open, even run simple code, and then hang or fail on what a
 * kernel does. So a firmware of 256 bytes is booted, on each machine type that VMs use. From the reset vector it goes through
 * protected to 64-bit mode with paging and SSE, where it does an atomic cmpxchg16b on memory (some nested hypervisors
 * emulate guest kernels and lack that; Linux uses it), and writes the sum to the debug-exit port, which ends QEMU. The same
 * firmware under TCG is the positive control.
 */
const PAYLOAD = Buffer.from(
  [
    'fa', // cli
    '2e660f011698ff', // lgdtl %cs:0xff98
    '66c70600100320 0000', // movl $0x2003, 0x1000      level 4 page table -> level 3
    '66c70600200330 0000', // movl $0x3003, 0x2000      level 3 -> level 2
    '66c70600308300 0000', // movl $0x83, 0x3000        2 MiB page at 0
    '66b820060000 0f22e0', // movl $0x620, %cr4         PAE, SSE
    '66b800100000 0f22d8', // movl $0x1000, %cr3
    '66b9800000c0 0f32 660d00010000 0f30', //           EFER.LME: long mode
    '66b811000080 0f22c0', // movl $0x80000011, %cr0    paging, protected mode
    '66ea56ff0f000800', // ljmpl $8, $0xfff56
    'bf00400000', // movl $0x4000, %edi
    'f0480fc107', // lock xaddq %rax, (%rdi)
    '660f6f07 660f7f4710', // movdqa (%rdi), %xmm0; movdqa %xmm0, 16(%rdi)
    '31db 31c9 bb10000000', // rcx:rbx = 0x10
    '488b07 31d2', // rdx:rax = what is there
    'f0480fc70f', // lock cmpxchg16b (%rdi)
    '8b07 66ba0105 ee', // outb the 0x10 to port 0x501
    'f4 ebfd', // hlt for ever
    '6690', // padding to offset 0x88: the descriptor table, one 64-bit code segment
    '0000000000000000 ffff0000009baf00',
    '0f00 88ff0f00', // its limit and address, offset 0x98
  ]
    .join('')
    .replaceAll(' ', ''),
  'hex',
);
/** Reset starts at F000:FFF0 with a far jump to F000:FF00, where the payload is. */
const RESET_VECTOR = Buffer.from('ea00ff00f0', 'hex');
const FIRMWARE_BYTES = 65_536;
/** isa-debug-exit ends QEMU with (value << 1) | 1. */
const SUCCESS = (0x10 << 1) | 1;
const MACHINES = ['microvm', 'q35'] as const;

interface Outcome {
  readonly good: boolean;
  readonly complaint: string;
}

/** A KVM that works is never that much slower than emulation. */
const KVM_PER_TCG = 5;

export interface ProbeDeadlines {
  /** Default 20,000: there is nothing to fall back to, however slow the host. */
  readonly tcgMs?: number;
  /** Default 2500; longer on a host where emulation has taken long. */
  readonly kvmMs?: number;
}

/**
 * Which accelerator runs a guest here.
 * @param qemuPath undefined: not installed
 * @param cacheDir the firmware is kept there: who is killed over the probe leaves nothing to clean up
 */
export async function probeAccelerator(
  qemuPath: string | undefined,
  cacheDir: string,
  { tcgMs = 20_000, kvmMs = 2500 }: ProbeDeadlines = {},
): Promise<HostAccelerator> {
  if (qemuPath === undefined) {
    return { kind: 'none', cause: 'no-qemu', reason: 'qemu-system-x86_64 is not installed' };
  }
  const firmware = await firmwareIn(cacheDir);
  const device = await openDevice();
  const startedAtMs = performance.now();
  const control = await bootOnce(qemuPath, firmware, 'tcg', 'q35', tcgMs);
  const deadlineMs = control.good ? Math.max(kvmMs, KVM_PER_TCG * Math.ceil(performance.now() - startedAtMs)) : kvmMs;
  const boot = (machine: string): Promise<Outcome> => bootOnce(qemuPath, firmware, 'kvm', machine, deadlineMs);
  return judge(control, device, await Promise.all(device.opens ? MACHINES.map(boot) : []));
}

/** The same for all who share the cache, so it appears whole, and is not written again. */
async function firmwareIn(cacheDir: string): Promise<string> {
  const firmware = Buffer.alloc(FIRMWARE_BYTES);
  PAYLOAD.copy(firmware, 0xff00);
  RESET_VECTOR.copy(firmware, 0xfff0);
  const path = join(cacheDir, 'probe-firmware');
  const kept = await readFile(path).catch(() => undefined);
  if (kept?.equals(firmware) === true) return path;
  await mkdir(cacheDir, { recursive: true, mode: 0o700 });
  const temporary = `${path}.${randomBytes(6).toString('hex')}`;
  await writeFile(temporary, firmware);
  await rename(temporary, path);
  return path;
}

function judge(control: Outcome, device: Device, kvm: readonly Outcome[]): HostAccelerator {
  const failed = kvm.find((outcome) => !outcome.good);
  const { lack, kvmGid } = device;
  if (lack === undefined && failed === undefined) {
    const reason = 'A guest runs under KVM';
    return { kind: 'kvm', cause: 'guest-runs', reason, ...(kvmGid === undefined ? {} : { kvmGid }) };
  }
  if (!control.good) {
    return { kind: 'none', cause: 'qemu-fails', reason: `QEMU does not run a guest: ${control.complaint}` };
  }
  if (failed !== undefined) {
    return {
      kind: 'tcg',
      cause: 'guest-fails',
      reason: `/dev/kvm opens but a guest does not run: ${failed.complaint}`,
    };
  }
  return { kind: 'tcg', cause: lack?.cause ?? 'guest-fails', reason: lack?.reason ?? '' };
}

interface Device {
  readonly opens: boolean;
  /** Why VMs can't use it, whether it opens or not. */
  readonly lack?: Pick<HostAccelerator, 'cause' | 'reason'>;
  readonly kvmGid?: number;
}

async function openDevice(): Promise<Device> {
  const lacks = (cause: HostAccelerator['cause'], reason: string, opens = false): Device => ({
    opens,
    lack: { cause, reason },
  });
  try {
    await using device = await open('/dev/kvm', 'r+');
    if (process.getuid?.() !== 0) return { opens: true };
    // VMs of a root daemon have uids of their own.
    const { mode, gid } = await device.stat();
    if ((mode & 0o006) === 0o006) return { opens: true };
    if ((mode & 0o060) === 0o060) return { opens: true, kvmGid: gid };
    return lacks('no-permission', '/dev/kvm is open to root alone, and VMs run as users of their own', true);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') {
      return lacks('no-device', '/dev/kvm does not exist: the processor has no virtualization, or it is off');
    }
    if (code === 'EACCES' || code === 'EPERM') return lacks('no-permission', '/dev/kvm may not be opened by this user');
    return lacks('no-device', `/dev/kvm does not open: ${code}`);
  }
}

async function bootOnce(
  qemu: string,
  firmware: string,
  accelerator: string,
  machine: string,
  deadlineMs: number,
): Promise<Outcome> {
  const failed = new AbortController();
  let complaint = '';
  const onLine = (line: string): void => {
    if (/error|assert/i.test(line) && complaint === '') complaint = line.replace(/^qemu-system-x86_64: (error: )?/, '');
    // QEMU stays there, its guest stopped: no need to wait for the deadline.
    if (line.startsWith('KVM internal error')) failed.abort();
  };
  const cpu = accelerator === 'kvm' ? 'host' : 'max';
  try {
    const { exitCode, signal } = await run(
      [
        ...(['timeout', '-s', 'KILL', String(deadlineMs / 1000), qemu] as const), // one that hangs in the kernel heeds no SIGTERM
        ...`-accel ${accelerator} -M ${machine} -cpu ${cpu} -m 2 -nodefaults -no-user-config -display none`.split(' '),
        ...`-no-reboot -device isa-debug-exit,iobase=0x501,iosize=1 -bios`.split(' '),
        firmware,
      ],
      { cwd: dirname(firmware), okExitCodes: 'any', onLine, signal: failed.signal },
    );
    if (exitCode === SUCCESS) return { good: true, complaint: '' };
    const late = exitCode === 137 || signal === 'SIGKILL';
    return {
      good: false,
      complaint: complaint || (late ? `no answer within ${deadlineMs} ms` : `QEMU's exit code ${exitCode}`),
    };
  } catch (error) {
    return { good: false, complaint: complaint || (error as Error).message };
  }
}
