import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { doctorReport, lookAtMandatory, MANDATORY_LACKS } from '../../src/hosts/index.ts';
import { fullHost } from './facts.ts';

/** The files by which a kernel tells, as Documentation/admin-guide/LSM has them, in a directory. */

let root: string;
beforeEach(async () => void (root = await mkdtemp(join(tmpdir(), 'skerry-lsm-'))));
afterEach(() => rm(root, { recursive: true, force: true }));

async function put(path: string, text: string): Promise<void> {
  await mkdir(dirname(join(root, path)), { recursive: true });
  await writeFile(join(root, path), text);
}

const ENABLED = '/sys/module/apparmor/parameters/enabled';
const REPLACE = '/sys/kernel/security/apparmor/.replace';
const CURRENT = '/proc/self/attr/current';

async function withParser(): Promise<string> {
  await put('/bin/apparmor_parser', '');
  await chmod(join(root, '/bin/apparmor_parser'), 0o755);
  return join(root, 'bin');
}

describe('AppArmor', () => {
  it('is not active where there is no such file, or it says N', async () => {
    expect(await lookAtMandatory({ root })).toBeUndefined();
    await put(ENABLED, 'N\n');
    expect(await lookAtMandatory({ root })).toBeUndefined();
  });

  it('is for us to use with root, its interface, the parser, and no profile of our own', async () => {
    await put(ENABLED, 'Y\n');
    const path = await withParser();
    const look = async (uid = 0) => (await lookAtMandatory({ root, uid, path }))?.lack;
    expect(await look(1000)).toBe('root');
    expect(await look()).toBe('interface');
    await put(REPLACE, '');
    expect(await lookAtMandatory({ root, uid: 0, path })).toEqual({ kind: 'apparmor' });
    await put(CURRENT, 'docker-default (enforce)\n');
    expect(await look()).toBe('confined');
    await put(CURRENT, 'unconfined\n');
    expect(await look()).toBeUndefined();
  });
});

describe('SELinux', () => {
  it('is for us to use where its policy knows our label', async () => {
    await put('/sys/fs/selinux/enforce', '1');
    expect(await lookAtMandatory({ root, uid: 1000 })).toEqual({ kind: 'selinux', lack: 'root' });
    expect(await lookAtMandatory({ root, uid: 0 })).toEqual({ kind: 'selinux', lack: 'module' });
    await put('/sys/fs/selinux/context', '');
    expect(await lookAtMandatory({ root, uid: 0 })).toEqual({ kind: 'selinux' });
  });
});

it('the doctor says what is missing, and what to type', () => {
  for (const { found, remedy } of Object.values(MANDATORY_LACKS)) {
    const features = fullHost.features.map((feature) =>
      feature.id === 'apparmor'
        ? { ...feature, state: 'no' as const, found: `active, but ${found}` }
        : feature.id === 'selinux'
          ? { ...feature, state: 'no' as const, found: 'not active' }
          : feature,
    );
    const item = doctorReport({ ...fullHost, features }).find(({ id }) => id === 'confine-mac');
    expect(item).toMatchObject({ state: 'limited', found: `apparmor: active, but ${found}`, remedy });
  }
});
