import { DoctorItem, HostInfo } from '@skerry/api';
import { describe, expect, it } from 'vitest';
import { doctorReport, type HostFacts } from '../../src/hosts/index.ts';
import { bareHost, fullHost } from './facts.ts';

const text = (facts: HostFacts): string =>
  doctorReport(facts)
    .map((item) => [item.state, item.id, item.found, item.consequence, item.remedy ?? '-'].join(' | '))
    .join('\n');

const item = (facts: HostFacts, id: string) => doctorReport(facts).find((one) => one.id === id);

describe('doctorReport', () => {
  it('finds nothing on a host that has all', async () => {
    await expect(text(fullHost)).toMatchFileSnapshot('golden/doctor-full.txt');
    expect(doctorReport(fullHost).filter(({ state }) => state !== 'ok')).toEqual([]);
  });

  it('names each lack of a bare host with consequence and remedy', async () => {
    await expect(text(bareHost)).toMatchFileSnapshot('golden/doctor-bare.txt');
    for (const { state, id, remedy } of doctorReport(bareHost)) {
      if (state === 'missing') expect(remedy, id).toMatch(/./);
    }
  });

  it('fits the contract', () => {
    for (const facts of [fullHost, bareHost]) {
      expect(HostInfo.parse(facts)).toEqual(facts);
      expect(doctorReport(facts).map((one) => DoctorItem.parse(one))).toEqual(doctorReport(facts));
      expect(new Set(doctorReport(facts).map(({ id }) => id)).size).toBe(doctorReport(facts).length);
    }
  });

  it('tells why there is no KVM, and what to do in each case', () => {
    const remedy = (cause: HostFacts['accelerator']['cause'], more: Partial<HostFacts> = {}) =>
      item({ ...fullHost, ...more, accelerator: { kind: 'tcg', cause, reason: 'so' } }, 'accelerator');
    expect(remedy('no-permission', { uid: 1000 })).toMatchObject({
      state: 'limited',
      remedy: 'adduser USER kvm, then log in again.',
    });
    expect(remedy('no-permission')?.remedy).toContain('chmod 660 /dev/kvm');
    expect(remedy('no-device')?.remedy).toBe('modprobe kvm_amd');
    expect(remedy('no-device', { cpu: { ...fullHost.cpu, virtualised: true } })?.remedy).toContain('nested');
    expect(remedy('guest-fails')?.found).toBe('so');
  });

  it('tells a user what of the confinement root would have', () => {
    const user: HostFacts = {
      ...fullHost,
      uid: 1000,
      features: fullHost.features.map((one) =>
        one.id === 'control-groups' || one.id === 'systemd' ? { ...one, state: 'no', found: 'no' } : one,
      ),
    };
    expect(item(user, 'confine-uid')).toMatchObject({
      state: 'limited',
      consequence: expect.stringContaining('as you') as string,
    });
    expect(item(user, 'confine-limits')).toMatchObject({ state: 'limited' });
    expect(item({ ...fullHost, uid: 1000 }, 'confine-limits')).toMatchObject({ state: 'ok' });
  });

  it('refuses an old QEMU', () => {
    const { qemu } = fullHost;
    const old = qemu === undefined ? fullHost : { ...fullHost, qemu: { ...qemu, version: '6.2.0' } };
    expect(item(old, 'qemu')).toMatchObject({ state: 'missing', found: '6.2.0' });
  });

  it('tells a QEMU that does not answer from none', () => {
    const path = '/usr/bin/qemu-system-x86_64';
    const silent = { ...fullHost, qemu: undefined, tools: [{ name: 'qemu-system-x86_64', package: 'x', path }] };
    expect(item(silent, 'qemu')).toMatchObject({ state: 'missing', found: `${path} does not say its version` });
    expect(item({ ...silent, tools: [] }, 'qemu')).toMatchObject({ state: 'missing', found: 'not installed' });
  });
});
