import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { doctorReport, probeHost } from '@skerry/engine';
import { expect, it } from 'vitest';

it('tells on this host, with its QEMU, which accelerator runs a guest', async () => {
  const cacheDir = await mkdtemp(join(tmpdir(), 'skerry-host-'));
  try {
    const before = performance.now();
    const facts = await probeHost({ cacheDir });
    expect(performance.now() - before).toBeLessThan(8000);
    // `none` would mean that the firmware of the probe does not run under TCG either: a bug of ours.
    expect(facts.accelerator.kind, facts.accelerator.reason).not.toBe('none');
    expect(facts.qemu).toMatchObject({ machines: ['microvm', 'pc', 'q35'], sandbox: true });
    expect(facts.qemu?.netdevs).toContain('stream');
    expect(doctorReport(facts).filter(({ state }) => state === 'missing')).toEqual([]);
    const cached = performance.now();
    expect(await probeHost({ cacheDir })).toEqual(facts);
    expect(performance.now() - cached).toBeLessThan(200);
  } finally {
    await rm(cacheDir, { recursive: true, force: true });
  }
});
