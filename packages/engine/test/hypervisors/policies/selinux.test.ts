import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { UID_BASE, UID_COUNT } from '../../../src/hypervisors/index.ts';
import { categoriesOf, Policies, selinuxLabels } from '../../../src/hypervisors/policies/index.ts';
import { compilesPolicy, hasSecilc } from './compilers.ts';

const MODULE = join(import.meta.dirname, '../../../../../policies/skerry.cil');
const BASE = join(import.meta.dirname, 'base.cil');

describe('the labels of a VM', () => {
  it('are as in the documentation', () => {
    expect(selinuxLabels(UID_BASE + 3)).toEqual({
      process: 'system_u:system_r:skerry_vm_t:s0:c3,c512',
      own: 'system_u:object_r:skerry_vm_file_t:s0:c3,c512',
      read: 'system_u:object_r:skerry_image_t:s0',
    });
  });

  it('have another pair of categories for each user, of those that there are', () => {
    const pairs = new Set<string>();
    for (let uid = UID_BASE; uid < UID_BASE + UID_COUNT; uid++) {
      const [low, high] = categoriesOf(uid);
      expect(low >= 0 && low < high && high < 1024).toBe(true);
      pairs.add(`${low},${high}`);
    }
    expect(pairs.size).toBe(UID_COUNT);
    for (const uid of [UID_BASE - 1, UID_BASE + UID_COUNT, 0, Number.NaN]) expect(() => categoriesOf(uid)).toThrow();
  });

  it('are given to vmjail where the policy knows them; else the VM starts with a warning', async () => {
    const spec = { dir: '/d', command: ['true'], owner: { uid: UID_BASE, gid: UID_BASE } } as const;
    const launch = { runtimeDir: '/run/v/a', accelerator: 'tcg' } as const;
    const active = new Policies({ look: async () => ({ kind: 'selinux' }) });
    expect((await active.prepare(launch, spec)).policy).toEqual({ selinux: selinuxLabels(UID_BASE) });
    const lacking = new Policies({ look: async () => ({ kind: 'selinux', lack: 'module' }) });
    expect(await lacking.prepare(launch, spec)).toEqual({
      ...spec,
      warnings: ["no SELinux label: Skerry's module is not installed"],
    });
    const none = new Policies({ look: async () => undefined });
    expect(await none.prepare(launch, spec)).toBe(spec);
  });
});

describe.runIf(await hasSecilc())('the module', () => {
  const context = (label: string): string => {
    const [user, role, type, low, categories] = label.split(':');
    const level = `(${low}${categories === undefined ? '' : ` (${categories.replace(',', ' ')})`})`;
    return `(filecon "/${type}" file (${user} ${role} ${type} (${level} ${level})))`;
  };

  it('compiles, on a policy with the types that it refers to and on one without, and knows all labels', async () => {
    const labels = [UID_BASE, UID_BASE + UID_COUNT - 1].map((uid) => Object.values(selinuxLabels(uid)).map(context));
    // The same path twice would be refused.
    for (const one of labels) expect(await compilesPolicy([BASE, MODULE], one.join('\n'))).toBe('');
    const types = (await readFile(BASE, 'utf8')).match(/; optional types\n([^]*)$/)?.[1] ?? '';
    expect(types).toContain('(type bin_t)');
    expect(await compilesPolicy([MODULE], (await readFile(BASE, 'utf8')).replace(types, ''))).toBe('');
  });

  it('is not compiled with an error, and knows no label of another type', async () => {
    expect(await compilesPolicy([BASE, MODULE], '(allow skerry_vm_t nothing_t (file (read)))')).not.toBe('');
    const other = context(selinuxLabels(UID_BASE).process.replace('skerry_vm_t', 'other_t'));
    expect(await compilesPolicy([BASE, MODULE], other)).not.toBe('');
  });

  it.for([
    ['a program', '(allow skerry_vm_t bin_t (file (execute_no_trans)))'],
    ['a network', '(allow skerry_vm_t self (tcp_socket (create)))'],
    ['a network by datagrams', '(allow skerry_vm_t self (udp_socket (create)))'],
    ['a capability', '(allow skerry_vm_t self (capability (sys_admin)))'],
  ] as const)('can not be given %s by another module', async ([, rule]) => {
    expect(await compilesPolicy([BASE, MODULE], rule)).toContain('neverallow');
  });
});
