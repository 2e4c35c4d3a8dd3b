import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { compileProgress, droppedOptions, effectiveConfig, ESSENTIAL_OPTIONS } from '../../src/images/kernel-plan.ts';

const GUEST_DIR = join(import.meta.dirname, '../../../../guest');

describe('the micro kernel', () => {
  test('its configuration counts without comments, blank lines and order', () => {
    expect(effectiveConfig('# a\nCONFIG_B=y\n\nCONFIG_A=y\n')).toBe(effectiveConfig('CONFIG_A=y\n# other\nCONFIG_B=y'));
    expect(effectiveConfig('CONFIG_A=y')).not.toBe(effectiveConfig('CONFIG_A=n'));
  });

  test('what a source does not know is found', () => {
    const dotConfig = 'CONFIG_A=y\n# CONFIG_B is not set\n';
    expect(droppedOptions('CONFIG_A=y\nCONFIG_B=y\nCONFIG_C=n\n', dotConfig)).toEqual(['B']);
  });

  test('the seed turns on what the issue lists and what no VM can do without', async () => {
    const seed = new Set((await readFile(join(GUEST_DIR, 'micro.config'), 'utf8')).split('\n'));
    const listed = `VIRTIO_MMIO VIRTIO_PCI VIRTIO_BLK VIRTIO_NET VIRTIO_CONSOLE HW_RANDOM_VIRTIO VIRTIO_BALLOON
      VIRTIO_VSOCKETS EXT4_FS SQUASHFS OVERLAY_FS 9P_FS VIRTIO_FS FUSE_FS BRIDGE VLAN_8021Q NF_TABLES NFT_NAT TUN
      NET_SCH_NETEM NET_SCH_TBF NET_SCH_HTB CGROUPS CGROUP_FREEZER NAMESPACES SECCOMP VMGENID`.split(/\s+/);
    const missing = [...listed, ...ESSENTIAL_OPTIONS].filter((option) => !seed.has(`CONFIG_${option}=y`));
    expect(missing).toEqual([]);
  });

  test('progress grows with what make compiles and stays below the end', () => {
    const fractionOf = compileProgress();
    expect(fractionOf('  LD      vmlinux.o')).toBeUndefined();
    const first = fractionOf('  CC      init/main.o') ?? 0;
    const second = fractionOf('  AS      arch/x86/entry/entry_64.o') ?? 0;
    expect(second).toBeGreaterThan(first);
    let last = 0;
    for (let line = 0; line < 5000; line += 1) last = fractionOf('  CC      a.o') ?? 0;
    expect(last).toBe(0.99);
  });
});
