import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { lookAtMandatory, run } from '../../../src/hosts/index.ts';
import { inspectJail } from '../../../src/hypervisors/jail/index.ts';
import { isRoot, makeJail } from './fixture.ts';

/** What vmjail does with profiles and labels; that a kernel heeds them takes one that has AppArmor or SELinux. */

const isActive = (await lookAtMandatory()) !== undefined;
const LABELS = {
  process: 'system_u:system_r:skerry_vm_t:s0:c1,c600',
  own: 'system_u:object_r:skerry_vm_file_t:s0:c1,c600',
  read: 'system_u:object_r:skerry_image_t:s0',
};

describe('a policy that the kernel does not take', () => {
  it.runIf(!isActive).for([{ apparmor: 'skerry-vm-none' }, { selinux: LABELS }])(
    'keeps the process from starting: %o',
    async (policy) => {
      await using jail = await makeJail();
      await expect(jail.launch(['sleep', '60'], { policy })).rejects.toMatchObject({
        code: 'refused',
        details: { step: 'policy' },
      });
      expect(await inspectJail(jail.dir)).toEqual({ state: 'absent' });
    },
  );

  it('is not asked for by a name that would mean more to it', async () => {
    await using jail = await makeJail();
    for (const apparmor of ['a b', 'a//&b', 'a\nb', '']) {
      await expect(jail.launch(['true'], { policy: { apparmor } })).rejects.toMatchObject({ code: 'internal' });
    }
  });
});

describe.runIf(isRoot && !isActive)('labels', () => {
  it('are put on what the VM writes to and on what it reads, before anything runs', async () => {
    await using jail = await makeJail();
    const path = (name: string): string => join(jail.root, name);
    for (const name of ['disk', 'image']) await writeFile(path(name), 'data');
    const open = {
      disk: { path: path('disk'), mode: 'rw' },
      image: { path: path('image'), mode: 'r' },
      con: { path: path('console.log'), mode: 'a' },
    } as const;
    // The label of the process is refused here; those of the files stay, as they have to for the next start.
    await jail.launch(['true'], { open, policy: { selinux: LABELS } }).catch(() => undefined);
    expect(await labelOf(path('disk'))).toBe(LABELS.own);
    expect(await labelOf(path('image'))).toBe(LABELS.read);
    expect(await readFile(path('disk'), 'utf8')).toBe('data');
  });
});

it('warnings that were found before are told with the others, also to the next daemon', async () => {
  await using jail = await makeJail();
  const warnings = ['no AppArmor profile: apparmor_parser is not installed'];
  expect((await jail.launch(['sleep', '60'], { warnings })).warnings).toEqual(warnings);
  expect(await inspectJail(jail.dir)).toMatchObject({ process: { warnings } });
});

async function labelOf(path: string): Promise<string> {
  return (await run(['stat', '-c', '%C', path])).stdout.trim();
}
