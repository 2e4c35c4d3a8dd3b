import {
  chmod,
  chown,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  realpath,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { checkShare } from '../../../src/hypervisors/jail/index.ts';
import { isRoot, makeJail, type Jail } from './fixture.ts';

/** A directory of the host in the hands of a process that may do anything it can: what it has, and what it has not. */

const VM = 720_321;
const ADA = 54_321;
const BOB = 54_322;

interface Shared extends AsyncDisposable {
  readonly jail: Jail;
  readonly dir: string;
  readonly outside: string;
  /** Runs a script in the directory, as a VM's process would be run. */
  sh(script: string, readonly?: boolean): Promise<string>;
}

async function makeShared(): Promise<Shared> {
  const jail = await makeJail();
  const root = await realpath(await mkdtemp(join(tmpdir(), 'skerry-share-')));
  await chmod(root, 0o755);
  const [dir, outside] = [join(root, 'src'), join(root, 'outside')];
  for (const each of [dir, outside]) await mkdir(each, { mode: 0o700 });
  await writeFile(join(dir, 'a'), 'ada\n', { mode: 0o600 });
  await writeFile(join(outside, 'secret'), 'secret\n');
  if (isRoot) for (const path of [dir, join(dir, 'a'), outside]) await chown(path, ADA, ADA);
  return {
    jail,
    dir,
    outside,
    async sh(script, readonly = false) {
      const { output } = await jail.finish(['sh', '-c', `cd /proc/self/fd/{s} || exit 9; ${script}`], {
        share: { s: { path: dir, readonly } },
        ...(isRoot ? { owner: { uid: VM, gid: VM } } : {}),
      });
      return output;
    },
    async [Symbol.asyncDispose]() {
      await jail[Symbol.asyncDispose]();
      await rm(root, { recursive: true, force: true });
    },
  };
}

describe('a shared directory', () => {
  it('can be read and written, and what is made in it belongs to its owner', async () => {
    await using shared = await makeShared();
    expect(await shared.sh('cat a; echo new >made; mkdir sub; echo changed >>a')).toBe('ada\n');
    expect(await readFile(join(shared.dir, 'a'), 'utf8')).toBe('ada\nchanged\n');
    const { uid } = await stat(shared.dir);
    for (const name of ['made', 'sub']) expect((await stat(join(shared.dir, name))).uid, name).toBe(uid);
  });

  it('takes no set-id bit, by whichever call', async () => {
    await using shared = await makeShared();
    const script = 'chmod 4755 a; chmod u+s a; chmod g+s a; cp a b; chmod 6755 b; chmod 0755 b; stat -c %a a b';
    expect((await shared.sh(script)).split('\n').filter((line) => /^\d+$/.test(line))).toEqual(['600', '755']);
    for (const name of ['a', 'b']) expect((await stat(join(shared.dir, name))).mode & 0o6000, name).toBe(0);
  });

  it('is not to be had through a link, nor when it is none', async () => {
    await using shared = await makeShared();
    const link = join(shared.outside, 'link');
    await symlink(shared.dir, link);
    // A directory of its own each: a supervisor that has failed lets go of its lock a moment after it has said so.
    const start = async (path: string) => {
      await using jail = await makeJail();
      return await jail.launch(['true'], { share: { s: { path, readonly: false } } });
    };
    await expect(start(link)).rejects.toMatchObject({ code: 'refused', remedy: expect.stringContaining('link') });
    await expect(start(join(link, 'sub'))).rejects.toMatchObject({ code: expect.stringMatching(/refused|not-found/) });
    await expect(start(join(shared.dir, 'a'))).rejects.toMatchObject({ code: 'refused' });
    await expect(start(join(shared.dir, 'none'))).rejects.toMatchObject({ code: 'not-found' });
  });
});

describe.runIf(isRoot)('as root, where the process has a user of its own', () => {
  it('nothing can be written to one that is read-only', async () => {
    await using shared = await makeShared();
    const before = await readdir(shared.dir);
    const output = await shared.sh(
      'echo x >>a; echo x >b; rm a; mv a c; chmod 777 a; touch a; ln a d; mkdir e; cat a',
      true,
    );
    expect(output.match(/Read-only file system/g)).toHaveLength(8);
    expect(output).toMatch(/ada\n$/);
    expect(await readdir(shared.dir)).toEqual(before);
    expect((await stat(join(shared.dir, 'a'))).mode & 0o777).toBe(0o600);
  });

  it('has no way up, and no rights of the owner beside it', async () => {
    await using shared = await makeShared();
    await symlink(join(shared.outside, 'secret'), join(shared.dir, 'leak'));
    const output = await shared.sh(`ls ..; cat ../outside/secret ../../etc/hostname leak ${shared.outside}/secret`);
    expect(output).not.toContain('secret\nsecret');
    expect(output.split('\n').filter((line) => line === 'secret')).toEqual([]);
    expect(output).toMatch(/^a\nleak\n/);
    expect(output).toMatch(/leak: Permission denied/);
    // The same as the owner himself, so that it is the rights that keep it out.
    const { output: control } = await shared.jail.finish(['cat', join(shared.dir, 'leak')], {
      owner: { uid: ADA, gid: ADA },
    });
    expect(control).toBe('secret\n');
  });

  it("others' files stay others'", async () => {
    await using shared = await makeShared();
    for (const [name, uid, mode] of [
      ['bob', BOB, 0o600],
      ['root', 0, 0o600],
      ['read', BOB, 0o644],
    ] as const) {
      await writeFile(join(shared.dir, name), `${name}\n`);
      await chmod(join(shared.dir, name), mode);
      await chown(join(shared.dir, name), uid, uid);
    }
    const output = await shared.sh('cat bob root read; echo x >read; stat -c %u bob root');
    expect(output).toMatch(/bob: Permission denied\n.*root: Permission denied\nread\n/);
    expect(output).toMatch(new RegExp(`read: Permission denied\\n${BOB}\\n0\\n$`));
    expect(await readFile(join(shared.dir, 'read'), 'utf8')).toBe('read\n');
  });

  it('no program in it is run, and no device is one', async () => {
    await using shared = await makeShared();
    const made = await shared.jail.finish(['mknod', join(shared.dir, 'null'), 'c', '1', '3']);
    expect(made.output).toBe('');
    await chmod(join(shared.dir, 'null'), 0o666);
    expect(await shared.sh('echo "#!/bin/sh" >p; chmod 755 p; ./p; echo x >null; mknod mine c 1 3')).toMatch(
      /p: Permission denied\n[^]*null: Permission denied\n[^]*mine: Operation not permitted/,
    );
  });

  it('is mounted nowhere that anybody could see, meanwhile or afterwards', async () => {
    await using shared = await makeShared();
    // Others mount what they like meanwhile.
    const mounts = async (): Promise<string[]> =>
      (await readFile('/proc/self/mountinfo', 'utf8'))
        .split('\n')
        .filter((line) => line.includes(basename(dirname(shared.dir))));
    const before = await mounts();
    const { pid } = await shared.jail.launch(['sleep', '60'], {
      share: { s: { path: shared.dir, readonly: false } },
      owner: { uid: VM, gid: VM },
    });
    expect(await mounts()).toEqual(before);
    process.kill(pid, 'SIGKILL');
    await shared.jail[Symbol.asyncDispose]();
    expect(await mounts()).toEqual(before);
  });

  it('can be tried beforehand', async () => {
    await using shared = await makeShared();
    await expect(checkShare(shared.jail.host, shared.dir)).resolves.toBeUndefined();
    // procfs maps no ids.
    await expect(checkShare(shared.jail.host, '/proc/1')).rejects.toMatchObject({
      code: 'unsupported',
      remedy: expect.stringContaining('ext4'),
    });
    await expect(checkShare(shared.jail.host, '/nowhere')).rejects.toMatchObject({ code: 'not-found' });
  });
});
