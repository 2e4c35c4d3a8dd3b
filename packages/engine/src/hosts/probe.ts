import { createHash, randomBytes } from 'node:crypto';
import { mkdir, readFile, rename, stat, writeFile } from 'node:fs/promises';
import { arch, availableParallelism, cpus, hostname, release, totalmem } from 'node:os';
import { join } from 'node:path';
import { HostInfo } from '@skerry/api';
import { probeAccelerator } from './accelerator.ts';
import { probeKernelFeatures } from './kernel-features.ts';
import { nativePath } from './native.ts';
import { probeQemu } from './qemu-facts.ts';
import { run } from './run.ts';
import { findTools, probeTools } from './tools.ts';

/** What `probeHost` found out. */
export type HostFacts = HostInfo;

export interface ProbeOptions {
  /** Holds `probe.json`, and the firmware of the probe. */
  readonly cacheDir: string;
  /** Probe again whatever the cache says. */
  readonly fresh?: boolean | undefined;
  readonly vmjailPath?: string | undefined;
}

/**
 * What this host is and can do. Probing takes up to 3 s where a /dev/kvm hangs, so the result is kept until the host restarts, the
 * user is another, or a tool or /dev/kvm changes; then it is read in a few milliseconds.
 */
export async function probeHost(options: ProbeOptions): Promise<HostFacts> {
  const vmjailPath = options.vmjailPath ?? nativePath('vmjail');
  const tools = await findTools();
  const key = await cacheKey([...tools.values(), vmjailPath, '/dev/kvm', '/dev/net/tun']);
  const path = join(options.cacheDir, 'probe.json');
  const kept = options.fresh === true ? undefined : await readKept(path, key);
  if (kept !== undefined) return kept;
  const facts = await probeNow(tools, vmjailPath, options.cacheDir);
  // A host that had no time for a guest just now may have it the next time.
  if (facts.accelerator.kind !== 'none') await keep(options.cacheDir, path, { key, facts });
  return facts;
}

async function probeNow(paths: ReadonlyMap<string, string>, vmjailPath: string, cacheDir: string): Promise<HostFacts> {
  const qemuPath = paths.get('qemu-system-x86_64');
  const uid = process.getuid?.() ?? -1;
  // By itself: under load a boot's deadline would measure the other probes.
  const accelerator = await probeAccelerator(qemuPath, cacheDir);
  const [cpu, qemu, tools, features] = await Promise.all([
    probeCpu(vmjailPath),
    qemuPath === undefined ? undefined : probeQemu(qemuPath),
    probeTools(paths),
    probeKernelFeatures(uid),
  ]);
  return {
    version: 1,
    probedAt: new Date().toISOString(),
    hostname: hostname(),
    kernel: release(),
    architecture: arch(),
    uid,
    cpu,
    memoryMib: Math.round(totalmem() / 2 ** 20),
    accelerator,
    ...(qemu === undefined ? {} : { qemu }),
    tools,
    features,
  };
}

async function probeCpu(vmjailPath: string): Promise<HostFacts['cpu']> {
  const text = await readFile('/proc/cpuinfo', 'utf8').catch(() => '');
  const flags = new Set(/^flags\s*:(.*)$/m.exec(text)?.[1]?.trim().split(' '));
  const tscKhz = await run([vmjailPath, '--tsc-khz'], { timeoutMs: 5000 }).then(
    ({ stdout }) => Number(stdout),
    () => Number.NaN, // not built, or no such counter
  );
  return {
    model: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    virtualization: flags.has('vmx') ? 'vmx' : flags.has('svm') ? 'svm' : 'none',
    virtualised: flags.has('hypervisor'),
    ...(Number.isSafeInteger(tscKhz) && tscKhz > 0 ? { tscKhz } : {}),
  };
}

/** Boot, kernel, user, and the files whose change would change the answer. */
async function cacheKey(paths: readonly string[]): Promise<string> {
  const seen = await Promise.all(
    paths.toSorted().map(async (path) => {
      const status = await stat(path).catch(() => undefined);
      if (status === undefined) return `${path} -`;
      return `${path} ${status.size} ${status.isFile() ? status.mtimeMs : ''} ${status.mode} ${status.uid} ${status.gid}`;
    }),
  );
  const bootId = await readFile('/proc/sys/kernel/random/boot_id', 'utf8').catch(() => '');
  const groups = process.getgroups?.().join(',') ?? '';
  // The number is another whenever other things are probed.
  const text = [4, bootId.trim(), release(), process.getuid?.(), groups, ...seen].join('\n');
  return createHash('sha256').update(text).digest('hex');
}

async function readKept(path: string, key: string): Promise<HostFacts | undefined> {
  try {
    const kept = JSON.parse(await readFile(path, 'utf8')) as { key?: unknown; facts?: unknown };
    return kept.key === key ? HostInfo.safeParse(kept.facts).data : undefined;
  } catch {
    return undefined; // none yet, or cut short by a crash: probed again
  }
}

async function keep(dir: string, path: string, value: { key: string; facts: HostFacts }): Promise<void> {
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const temporary = `${path}.${randomBytes(6).toString('hex')}`;
  await writeFile(temporary, JSON.stringify(value), { mode: 0o600 });
  await rename(temporary, path);
}
