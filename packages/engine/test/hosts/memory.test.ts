import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { hostMemory } from '../../src/hosts/memory.ts';

/** A tree in the place of /, with what the kernel would say there. */
let root: string;
beforeEach(async () => void (root = await mkdtemp(join(tmpdir(), 'skm-'))));
afterEach(() => rm(root, { recursive: true, force: true }));

const MIB = 2 ** 20;

async function tree(files: Readonly<Record<string, string>>): Promise<void> {
  const all = { 'proc/meminfo': meminfo(8192, 6144), ...files };
  for (const [path, text] of Object.entries(all)) {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), text);
  }
}
function meminfo(totalMib: number, availableMib: number): string {
  return `MemTotal:       ${totalMib * 1024} kB\nMemFree:          1024 kB\nMemAvailable:   ${availableMib * 1024} kB\nSwapTotal: 0 kB\n`;
}
/** Of a control group of version 2. */
function limit(dir: string, maxMib: number | 'max', usedMib: number, cacheMib = 0): Record<string, string> {
  return {
    [`${dir}/memory.max`]: `${maxMib === 'max' ? 'max' : maxMib * MIB}\n`,
    [`${dir}/memory.current`]: `${usedMib * MIB}\n`,
    [`${dir}/memory.stat`]: `anon 1\nactive_file 77\ninactive_file ${cacheMib * MIB}\n`,
  };
}
const V2 = { 'proc/self/mounts': 'proc /proc proc rw 0 0\ncgroup2 /sys/fs/cgroup cgroup2 rw,nosuid 0 0\n' };
const V1 = {
  'proc/self/mounts':
    'cgroup /sys/fs/cgroup/cpu cgroup rw,cpu,cpuacct 0 0\ncgroup /sys/fs/cgroup/memory cgroup rw,nosuid,memory 0 0\n',
};
function limitV1(dir: string, maxBytes: string, usedMib: number, cacheMib = 0): Record<string, string> {
  return {
    [`${dir}/memory.limit_in_bytes`]: `${maxBytes}\n`,
    [`${dir}/memory.usage_in_bytes`]: `${usedMib * MIB}\n`,
    [`${dir}/memory.stat`]: `inactive_file 1\ntotal_inactive_file ${cacheMib * MIB}\n`,
  };
}

describe('hostMemory', () => {
  it('is what the kernel says where there are no control groups', async () => {
    await tree({});
    expect(await hostMemory({ root, uid: 0 })).toEqual({ totalMib: 8192, availableMib: 6144 });
  });

  it('is what the kernel says where no group has a limit', async () => {
    await tree({ ...V2, 'proc/self/cgroup': '0::/user.slice\n', ...limit('sys/fs/cgroup/user.slice', 'max', 700) });
    expect(await hostMemory({ root, uid: 1000 })).toEqual({ totalMib: 8192, availableMib: 6144 });
  });

  it("is the container's share, without the cache that nobody needs", async () => {
    await tree({ ...V2, 'proc/self/cgroup': '0::/\n', ...limit('sys/fs/cgroup', 2048, 1024, 256) });
    expect(await hostMemory({ root, uid: 0 })).toEqual({ totalMib: 2048, availableMib: 1280 });
  });

  it('is never more than the host has left', async () => {
    await tree({ ...V2, 'proc/meminfo': meminfo(8192, 512), ...limit('sys/fs/cgroup', 4096, 0) });
    expect(await hostMemory({ root, uid: 0 })).toEqual({ totalMib: 4096, availableMib: 512 });
  });

  it('is nothing when the group is beyond its limit', async () => {
    await tree({ ...V2, ...limit('sys/fs/cgroup', 100, 120) });
    expect(await hostMemory({ root, uid: 0 })).toEqual({ totalMib: 100, availableMib: 0 });
  });

  it("is bound by each group above a user's daemon, and by none of those for root's, whose VMs are beside it", async () => {
    await tree({
      ...V2,
      'proc/self/cgroup': '0::/user.slice/skerry.service\n',
      ...limit('sys/fs/cgroup/user.slice', 3000, 1000),
      ...limit('sys/fs/cgroup/user.slice/skerry.service', 4000, 3500),
    });
    expect(await hostMemory({ root, uid: 1000 })).toEqual({ totalMib: 3000, availableMib: 500 });
    expect(await hostMemory({ root, uid: 0 })).toEqual({ totalMib: 8192, availableMib: 6144 });
  });

  it('knows version 1, and its word for no limit', async () => {
    const memory = 'sys/fs/cgroup/memory';
    await tree({
      ...V1,
      'proc/self/cgroup': '4:cpu,cpuacct:/elsewhere\n3:memory:/app\n0::/\n',
      ...limitV1(memory, '9223372036854771712', 7000),
      ...limitV1(`${memory}/app`, String(1024 * MIB), 600, 100),
    });
    expect(await hostMemory({ root, uid: 1000 })).toEqual({ totalMib: 1024, availableMib: 524 });
    expect(await hostMemory({ root, uid: 0 })).toEqual({ totalMib: 8192, availableMib: 6144 });
  });

  it('goes up to the mount where the path of its group is not to be seen', async () => {
    await tree({ ...V2, 'proc/self/cgroup': '0::/docker/0123\n', ...limit('sys/fs/cgroup', 512, 12) });
    expect(await hostMemory({ root, uid: 1000 })).toEqual({ totalMib: 512, availableMib: 500 });
  });

  it('says what there is here', async () => {
    const { totalMib, availableMib } = await hostMemory();
    expect(totalMib).toBeGreaterThan(64);
    expect(availableMib).toBeGreaterThan(0);
    expect(availableMib).toBeLessThanOrEqual(totalMib);
  });
});
