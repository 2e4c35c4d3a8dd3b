import { chmod, chown, mkdir, mkdtemp, readdir, readFile, realpath, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { findVirtiofsd } from '../../../src/hosts/index.ts';
import { checkShare, watchExit } from '../../../src/hypervisors/jail/index.ts';
import { virtiofsdCommand } from '../../../src/hypervisors/index.ts';
import { isRoot, makeJail, type Jail } from './fixture.ts';

/** What serves a directory to a VM, in the hands of a script that may do anything it can. */

const VM = 720_322;
const ADA = 54_321;
const virtiofsd = await findVirtiofsd().catch(() => undefined);

interface Served extends AsyncDisposable {
  readonly jail: Jail;
  readonly dir: string;
  readonly outside: string;
  /** Runs `script` as the server, and `child` beside it, which its end ends. @returns what both wrote, and how it ended */
  serve(script: string, options?: { child?: string; readonly?: boolean }): Promise<string>;
}

async function makeServed(): Promise<Served> {
  const jail = await makeJail();
  const root = await realpath(await mkdtemp(join(tmpdir(), 'skerry-served-')));
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
    async serve(script, { child = 'sleep 60', readonly = false } = {}) {
      const { output } = await jail.finish(['sh', '-c', child], {
        served: { s: { path: dir, readonly } },
        server: ['sh', '-c', script],
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

const alive = async (pid: number): Promise<boolean> =>
  /^State:\t[^ZX]/m.test(await readFile(`/proc/${pid}/status`, 'utf8').catch(() => ''));

describe('what serves a directory', () => {
  it('is root in there and nobody outside: all is made by the owner, whoever asks, and no set-id bit is', async () => {
    await using served = await makeServed();
    const script = `
      cd /mnt; id -u; cat a; echo new >made; chown 1000:1000 made && echo owned; chmod 4755 made; chmod 0644 made
      stat -c %u:%g:%a made; grep -i '^CapEff' /proc/self/status`;
    const output = await served.serve(script);
    expect(output).toMatch(/^0\nada\nowned\n/);
    expect(output).toMatch(/made.*Operation not permitted[^]*^0:0:644$/m);
    const { uid, mode } = await stat(join(served.dir, 'made'));
    expect([uid, mode & 0o7777]).toEqual([(await stat(served.dir)).uid, 0o644]);
  });

  it('gives the child a socket that is connected to it, and nothing of it lies in a directory', async () => {
    await using served = await makeServed();
    const output = await served.serve('case $0 in --fd=*) readlink /proc/self/fd/${0#--fd=};; esac', {
      child: 'readlink /proc/self/fd/{s}; sleep 60',
    });
    expect(output.match(/^socket:\[\d+\]$/gm)).toHaveLength(2);
    expect(await readdir(served.jail.dir)).toEqual(expect.not.arrayContaining(['.server']));
  });

  it('can not write to one that is read-only, nor make it another', async () => {
    await using served = await makeServed();
    const script = `
      cd /mnt; mount -o remount,rw /mnt; mount -o remount,rw,bind /mnt; echo x >a; echo x >b; rm a; chmod 777 a
      unshare -m sh -c 'mount -o remount,rw,bind /mnt; echo x >/mnt/c'; cat a`;
    const output = await served.serve(script, { readonly: true });
    expect(output.match(/Read-only file system/g)?.length).toBeGreaterThanOrEqual(4);
    expect(output).toMatch(/^ada$/m);
    expect(await readdir(served.dir)).toEqual(['a']);
    expect((await stat(join(served.dir, 'a'))).mode & 0o777).toBe(0o600);
  });

  it('ends with the child, and with it all that it has begun', async () => {
    await using served = await makeServed();
    await chmod(served.dir, 0o711);
    // `tail` keeps what is one line: who has much memory is long in dying.
    const script = '(head -c 500M /dev/zero; : >/mnt/ready; sleep 1000) | tail & echo $$ $!; wait';
    const output = await served.serve(script, {
      child: `until [ -e ${served.dir}/ready ]; do sleep 0.05; done; exit 3`,
    });
    const pids = /^(\d+) (\d+)$/m.exec(output)?.slice(1).map(Number) ?? [];
    expect(pids).toHaveLength(2);
    for (const pid of pids) await expect(stat(`/proc/${pid}`)).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('has an end that the child does not outlive, and that is said', async () => {
    await using served = await makeServed();
    const { jail } = served;
    const { end, output } = await jail.finish(['sleep', '60'], {
      served: { s: { path: served.dir, readonly: false } },
      server: ['sh', '-c', 'exit 1'],
    });
    expect(end).toMatchObject({ cause: 'exit', exit: { signal: 'SIGKILL' } });
    expect(output).toContain('[vmjail: the server of s has ended, so the VM is ended, too]');
  });

  it('leaves a child that is ending alone, so that its own end is told', async () => {
    await using served = await makeServed();
    const { end, output } = await served.jail.finish(['sh', '-c', 'sleep 0.5; exit 7'], {
      served: { s: { path: served.dir, readonly: false } },
      server: ['true'],
    });
    expect(end).toMatchObject({ cause: 'exit', exit: { code: 7 } });
    expect(output).toBe('');
  });

  it('goes with its supervisor, whatever ended that', async () => {
    await using served = await makeServed();
    const { jail, dir } = served;
    const pidFile = join(dir, 'pid');
    const process_ = await jail.launch(['sleep', '60'], {
      served: { s: { path: dir, readonly: false } },
      server: ['sh', '-c', 'echo $$ >/mnt/pid; exec sleep 60'],
      ...(isRoot ? { owner: { uid: VM, gid: VM } } : {}),
    });
    await expect.poll(() => readFile(pidFile, 'utf8').catch(() => '')).toMatch(/\d+\n/);
    const pid = Number(await readFile(pidFile, 'utf8'));
    expect(await alive(pid)).toBe(true);
    process.kill(process_.jailPid, 'SIGKILL');
    await watchExit(jail.dir);
    await expect.poll(() => alive(pid)).toBe(false);
  });
});

describe.runIf(isRoot)('as root, where it has a user of its own', () => {
  it('has no rights of the owner beside the directory, nor any of root’s', async () => {
    await using served = await makeServed();
    const script = `id; cat ${served.outside}/secret /etc/shadow; ls ${served.jail.dir}; mknod /mnt/n c 1 3; umount /mnt && ls /mnt/a`;
    const output = await served.serve(script);
    expect(output.match(/Permission denied/g)).toHaveLength(3);
    expect(output).toMatch(/mknod.*Operation not permitted/);
    expect(output).not.toMatch(/^secret$|root:/m);
  });

  it('is mounted nowhere that anybody else could see', async () => {
    await using served = await makeServed();
    const mounts = async (): Promise<string[]> =>
      (await readFile('/proc/self/mountinfo', 'utf8'))
        .split('\n')
        .filter((line) => line.includes(basename(dirname(served.dir))));
    const before = await mounts();
    const output = await served.serve('grep " /mnt " /proc/self/mountinfo');
    expect(output).toMatch(/ \/mnt .*nosuid,nodev,noexec/);
    expect(await mounts()).toEqual(before);
  });
});

describe('beforehand', () => {
  it.runIf(virtiofsd !== undefined)('it can be tried with the virtiofsd that is here', async () => {
    await using served = await makeServed();
    await expect(checkShare(served.jail.host, served.dir, virtiofsdCommand(virtiofsd!))).resolves.toBeUndefined();
  });

  it('one that can not be confined is refused, with what serves instead', async () => {
    await using served = await makeServed();
    const server = ['sh', '-c', 'echo mount: no >&2; exit 1'] as const;
    await expect(checkShare(served.jail.host, served.dir, server)).rejects.toMatchObject({
      code: 'unsupported',
      message: expect.stringContaining('mount: no'),
      remedy: expect.stringContaining('9p'),
    });
  });
});
