import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, open, readdir, rm, writeFile } from 'node:fs/promises';
import { release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { HostInfo } from '@skerry/api';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { probeHost } from '../../src/hosts/index.ts';
import { probeAccelerator } from '../../src/hosts/accelerator.ts';
import { readNetworkProbe } from '../../src/hosts/kernel-features.ts';
import { versionOf } from '../../src/hosts/tools.ts';

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'skerry-probe-test-'));
});
afterEach(() => rm(root, { recursive: true, force: true }));

describe('probeHost', () => {
  it('finds what is here, and reads it back until something changes', async () => {
    const vmjailPath = join(root, 'vmjail');
    const options = { cacheDir: join(root, 'cache'), vmjailPath };
    const facts = await probeHost(options);
    expect(HostInfo.parse(facts)).toEqual(facts);
    expect(facts.kernel).toBe(release());
    expect(facts.cpu.tscKhz).toBeUndefined();
    expect(facts.tools.find(({ name }) => name === 'unshare')?.path).toMatch(/unshare$/);
    expect(facts.features.map(({ id }) => id).toSorted()).toEqual(
      HostInfo.shape.features.element.shape.id.options.toSorted(),
    );
    expect(await probeHost(options)).toEqual(facts);
    // The probe of the counter's rate is built meanwhile.
    await writeFile(vmjailPath, '#!/bin/sh\necho 2400000\n');
    await chmod(vmjailPath, 0o755);
    const later = await probeHost(options);
    expect(later.cpu.tscKhz).toBe(2_400_000);
    // A file cut short by a crash is no answer.
    await writeFile(join(root, 'cache/probe.json'), '{"key":');
    expect((await probeHost(options)).probedAt).not.toBe(later.probedAt);
    expect(await readdir(join(root, 'cache'))).toEqual(['probe-firmware', 'probe.json']);
  }, 30_000);
});

describe('probeHost without a guest', () => {
  afterEach(() => void vi.unstubAllEnvs());

  it('looks again the next time', async () => {
    vi.stubEnv('PATH', root);
    await writeFile(join(root, 'qemu-system-x86_64'), '#!/bin/sh\nexit 1\n', { mode: 0o755 });
    const cacheDir = join(root, 'cache');
    expect((await probeHost({ cacheDir })).accelerator.kind).toBe('none');
    expect(await readdir(cacheDir)).toEqual(['probe-firmware']);
  });
});

describe('probeAccelerator', () => {
  /** A stand-in for QEMU, as the host's may be missing or its KVM good. */
  const qemu = async (kvm: string, tcg: string): Promise<string> => {
    const path = join(root, 'qemu');
    await writeFile(path, `#!/bin/sh\ncase "$*" in *"-accel kvm"*) ${kvm} ;; *) ${tcg} ;; esac\n`);
    await chmod(path, 0o755);
    return path;
  };
  const opens = (): Promise<boolean> =>
    open('/dev/kvm', 'r+').then(
      async (handle) => {
        await handle.close();
        return true;
      },
      () => false,
    );

  it('finds a KVM that hangs', async ({ skip }) => {
    if (!(await opens())) skip('no /dev/kvm here');
    const before = performance.now();
    expect(await probeAccelerator(await qemu('sleep 60', 'exit 33'), root, { kvmMs: 300 })).toEqual({
      kind: 'tcg',
      cause: 'guest-fails',
      reason: '/dev/kvm opens but a guest does not run: no answer within 300 ms',
    });
    expect(performance.now() - before).toBeLessThan(3000);
  });

  it('lets a slow host take its time, with KVM and without', async ({ skip }) => {
    const slow = 'sleep 0.4; exit 33';
    const without = await probeAccelerator(await qemu('exit 1', slow), root, { kvmMs: 100 });
    expect(without.kind).toBe('tcg');
    if (!(await opens())) skip('no /dev/kvm here');
    // Whether VMs may open it is another matter.
    const failed = { cause: 'guest-fails' };
    expect(await probeAccelerator(await qemu(slow, slow), root, { kvmMs: 100 })).not.toMatchObject(failed);
    expect(await probeAccelerator(await qemu('exit 33', 'sleep 60'), root, { tcgMs: 100 })).not.toMatchObject(failed);
  });

  it('does not wait for one that says that it failed', async ({ skip }) => {
    if (!(await opens())) skip('no /dev/kvm here');
    const path = await qemu('echo "KVM internal error. Suberror: 1" >&2; sleep 60', 'exit 33');
    expect(await probeAccelerator(path, root, { kvmMs: 8000 })).toMatchObject({
      kind: 'tcg',
      reason: '/dev/kvm opens but a guest does not run: KVM internal error. Suberror: 1',
    });
  });

  it('says so when nothing runs a guest', async () => {
    expect(await probeAccelerator(undefined, root)).toMatchObject({ kind: 'none', cause: 'no-qemu' });
    const broken = await qemu('exit 1', 'echo "qemu-system-x86_64: error: no such machine" >&2; exit 1');
    expect(await probeAccelerator(broken, root, { tcgMs: 2000 })).toMatchObject({
      kind: 'none',
      cause: 'qemu-fails',
      reason: 'QEMU does not run a guest: no such machine',
    });
  });

  it('leaves nothing but its firmware, also when it is killed over it', async () => {
    for (const name of ['tmp', 'cache']) await mkdir(join(root, name));
    const begun = join(root, 'begun');
    const hangs = await qemu(`touch ${begun}; sleep 1`, `touch ${begun}; sleep 1`);
    const module = fileURLToPath(new URL('../../src/hosts/accelerator.ts', import.meta.url));
    const script = `(await import('${module}')).probeAccelerator('${hangs}', '${join(root, 'cache')}')`;
    const child = spawn(process.execPath, ['--conditions=source', '--input-type=module', '-e', script], {
      env: { ...process.env, TMPDIR: join(root, 'tmp') },
      stdio: 'ignore',
    });
    await expect.poll(() => existsSync(begun), { timeout: 8000 }).toBe(true);
    child.kill('SIGKILL');
    await once(child, 'exit');
    expect(await readdir(join(root, 'tmp'))).toEqual([]);
    expect(await readdir(join(root, 'cache'))).toEqual(['probe-firmware']);
  }, 20_000);
});

describe('what the probes print', () => {
  it('becomes features', () => {
    const output =
      'tap no ioctl(TUNSETIFF): Operation not permitted\nbridge yes\nvlan no Error: Unknown device type.\nnetem no sh: 1: tc: not found\n';
    const state = (id: string, uid: number) => readNetworkProbe(output, uid).find((feature) => feature.id === id);
    expect(state('bridge', 0)).toEqual({ id: 'bridge', state: 'yes', found: 'works' });
    expect(state('bridge', 1000)).toEqual({ id: 'bridge', state: 'yes', found: 'works, with root' });
    expect(state('tap', 0)?.state).toBe('no');
    expect(state('tap', 1000)).toEqual({ id: 'tap', state: 'unknown', found: 'needs root to tell' });
    expect(state('vlan', 0)).toEqual({ id: 'vlan', state: 'no', found: 'Error: Unknown device type.' });
    expect(state('netem', 0)?.state).toBe('unknown');
    expect(state('htb', 0)?.state).toBe('unknown');
  });

  it('becomes versions', () => {
    expect(versionOf('QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7)')).toBe('7.2.22');
    expect(versionOf('ip utility, iproute2-6.1.0, libbpf 1.1.2')).toBe('6.1.0');
    expect(versionOf('nothing')).toBeUndefined();
  });
});
