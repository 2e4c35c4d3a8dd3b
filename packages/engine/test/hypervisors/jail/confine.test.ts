import { chmod, lstat, mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { open } from 'node:fs/promises';
import { createConnection, createServer } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  describeEnd,
  inspectJail,
  isAlive,
  launchJail,
  planJail,
  watchExit,
  type JailHost,
} from '../../../src/hypervisors/jail/index.ts';
import { isRoot, makeJail } from './fixture.ts';

describe('descriptors', () => {
  it('are handed over by name, listening', async () => {
    await using jail = await makeJail();
    const qmp = join(jail.root, 'qmp');
    await jail.launch(['sh', '-c', 'readlink /proc/self/fd/{qmp}; sleep 60'], { listen: { qmp } });
    expect((await lstat(qmp)).mode & 0o777).toBe(0o600);
    const socket = createConnection(qmp);
    await once(socket, 'connect');
    socket.destroy();
  });

  it('are the only ones that the process has', async () => {
    await using jail = await makeJail();
    await writeFile(join(jail.root, 'disk'), 'data');
    const spec = {
      dir: jail.dir,
      command: [
        'sh',
        '-c',
        'ls /proc/$$/fd; cat /dev/fd/{disk}; echo more >/dev/fd/{con}; echo "{other} $HOME"',
      ] as const,
      listen: { qmp: join(jail.root, 'qmp') },
      open: {
        disk: { path: join(jail.root, 'disk'), mode: 'r' },
        con: { path: join(jail.root, 'console.log'), mode: 'a' },
      } as const,
    };
    // The launcher leaks two: a directory and a terminal's worth of pipes.
    await using leaked = await open(jail.root);
    const [command, ...args] = planJail(spec, jail.host);
    const child = spawn(command, args, { stdio: ['ignore', 'ignore', 'ignore', leaked.fd, 'pipe', leaked.fd] });
    await once(child, 'exit');
    const end = await watchExit(jail.dir);
    const lines = end.cause === 'exit' ? end.exit.stderrTail.split('\n') : [];
    expect(lines.filter((line) => /^\d+$/.test(line))).toHaveLength(6); // 0 1 2 qmp disk con
    expect(lines.at(-2)).toMatch(/^data\{other\} \//);
    expect(await readFile(join(jail.root, 'console.log'), 'utf8')).toBe('more\n');
  });

  it('are not opened through a link, nor bound over a live socket or a file', async () => {
    await using jail = await makeJail();
    await writeFile(join(jail.root, 'secret'), 'x');
    await symlink('secret', join(jail.root, 'link'));
    const link = { disk: { path: join(jail.root, 'link'), mode: 'rw' } } as const;
    await expect(jail.launch(['true'], { open: link })).rejects.toMatchObject({ details: { step: 'open' } });
    await expect(jail.launch(['true'], { listen: { a: join(jail.root, 'secret') } })).rejects.toMatchObject({
      details: { step: 'listen' },
    });
    const live = join(jail.root, 'live');
    const server = createServer().listen(live);
    await once(server, 'listening');
    await expect(jail.launch(['true'], { listen: { a: live } })).rejects.toMatchObject({ code: 'in-use' });
    await new Promise((resolve) => server.close(resolve));
  });

  it('keep the log within its cap and its end for the record', async () => {
    await using jail = await makeJail();
    const log = { path: join(jail.root, 'qemu.log'), capBytes: 10_000 };
    const { output } = await jail.finish(['sh', '-c', 'yes | head -c 3000000; echo last'], { log });
    const text = await readFile(log.path, 'utf8');
    expect(text.length).toBeLessThan(10_100);
    expect(text.slice(0, 10_000)).toBe('y\n'.repeat(5000));
    expect(output).toMatch(/y\nlast\n$/);
    expect(output).toHaveLength(2048);
  });
});

describe('limits', () => {
  it('are set: resources, no core, no new privileges, a session of its own', async () => {
    await using jail = await makeJail();
    const script =
      'ulimit -n; ulimit -c; nice; grep NoNewPrivs /proc/self/status; cut -d" " -f6 /proc/$$/stat; echo $$; pwd; ' +
      'grep -c "THP_enabled:.0" /proc/self/status';
    const { output } = await jail.finish(['sh', '-c', script], { rlimits: { nofile: 77 }, nice: 7, hugePages: false });
    const [nofile, core, nice, privs, session, pid, cwd, noHugePages] = output.split('\n');
    expect([nofile, core, nice, privs, cwd]).toEqual(['77', '0', '7', 'NoNewPrivs:\t1', '/']);
    expect(noHugePages).toBe('1');
    expect(session).toBe(pid);
  });

  it('make a write past the file size an error, not a death', async () => {
    await using jail = await makeJail();
    const disk = join(jail.root, 'disk');
    const command = ['sh', '-c', `head -c 9000 /dev/zero > ${disk}; echo "code $?"`] as const;
    const { output, end } = await jail.finish(command, { rlimits: { fsize: 4096 } });
    expect(output).toMatch(/File too large[^]*code 1/);
    expect(end).toMatchObject({ exit: { code: 0 } });
    expect((await lstat(disk)).size).toBe(4096);
  });
});

describe.runIf(isRoot)('as root', () => {
  it('the process runs as its uid, in directories that stay closed to it', async () => {
    await using jail = await makeJail();
    await chmod(jail.root, 0o700);
    const qmp = join(jail.root, 'qmp');
    await writeFile(join(jail.root, 'disk'), 'data', { mode: 0o600 });
    const { output, process } = await jail.finish(
      ['sh', '-c', `id -u; id -g; id -G; readlink /dev/fd/{disk}; cat ${jail.root}/disk || echo closed`],
      {
        owner: { uid: 729_001, gid: 729_002, groups: [729_003] },
        listen: { qmp },
        open: { disk: { path: join(jail.root, 'disk'), mode: 'r' } },
      },
    );
    expect(output.split('\n').slice(0, 4)).toEqual(['729001', '729002', '729002 729003', join(jail.root, 'disk')]);
    expect(output).toContain('closed');
    expect(process.warnings).toEqual([]);
  });

  it("the socket is the uid's, and root connects to it", async () => {
    await using jail = await makeJail();
    const qmp = join(jail.root, 'qmp');
    await jail.launch(['sleep', '60'], { owner: { uid: 729_001, gid: 729_001 }, listen: { qmp } });
    expect(await lstat(qmp)).toMatchObject({ uid: 729_001, gid: 729_001 });
    const socket = createConnection(qmp);
    await once(socket, 'connect');
    socket.destroy();
  });

  it('a killed supervisor takes a process of another uid with it', async () => {
    await using jail = await makeJail();
    const started = await jail.launch(['sleep', '60'], { owner: { uid: 729_001, gid: 729_001 } });
    process.kill(started.jailPid, 'SIGKILL');
    await expect.poll(() => readFile(`/proc/${started.pid}/stat`, 'utf8').catch(() => '')).not.toMatch(/\) S /);
  });
});

describe.runIf(!isRoot)('as a user', () => {
  it('another uid is refused', async () => {
    await using jail = await makeJail();
    await expect(jail.launch(['true'], { owner: { uid: 720_001, gid: 720_001 } })).rejects.toMatchObject({
      code: 'refused',
    });
  });
});

describe('control groups', () => {
  it.runIf(isRoot)('of this host hold the process while it runs, and are gone after', async () => {
    await using jail = await makeJail();
    const name = `skerry-test-${process.pid}/vm`;
    const { warnings, pid } = await jail.launch(['sleep', '60'], {
      group: { name, pidsMax: 11, memoryMaxBytes: 1 << 26 },
    });
    const memberships = await readFile(`/proc/${pid}/cgroup`, 'utf8');
    const writable = !warnings.some((warning) => warning.startsWith('no '));
    if (!writable) return; // a container with read-only control groups: the warnings say so
    expect(memberships).toContain(`/${name}`);
    const line = memberships.split('\n').find((entry) => entry.includes(name)) ?? '';
    const dir = line.startsWith('0::') ? `/sys/fs/cgroup/${name}` : `/sys/fs/cgroup/pids/${name}`;
    expect((await readFile(join(dir, 'pids.max'), 'utf8')).trim()).toBe('11');
    process.kill(pid, 'SIGKILL');
    await watchExit(jail.dir);
    await expect(lstat(dir)).rejects.toMatchObject({ code: 'ENOENT' });
    await expect(lstat(join(dir, '..'))).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it.runIf(isRoot)('whose limit of memory ends the process are told of', async () => {
    await using jail = await makeJail();
    const name = `skerry-test-${process.pid}/full`;
    // It waits for an end of a line that never comes, and keeps all it has read.
    const { warnings } = await jail.launch(['tail', '/dev/zero'], {
      group: { name, memoryMaxBytes: 1 << 25 },
    });
    const end = await watchExit(jail.dir);
    if (warnings.some((warning) => warning.startsWith('no '))) return; // as above
    expect(end).toMatchObject({ cause: 'exit', exit: { signal: 'SIGKILL', ranOutOfMemory: true } });
    expect(describeEnd(end)).toContain('more memory than its control group may have');
  });

  it.runIf(isRoot)('left by a killed supervisor are taken over', async () => {
    await using jail = await makeJail();
    const group = { name: `skerry-test-${process.pid}/left`, pidsMax: 11 };
    const first = await jail.launch(['sleep', '60'], { group });
    process.kill(first.jailPid, 'SIGKILL');
    await watchExit(jail.dir);
    // Its child gets SIGKILL in the same moment, and needs one to go.
    await expect.poll(() => isAlive(first.pid, first.startTime), { timeout: 5000 }).toBe(false);
    const second = await jail.launch(['sleep', '60'], { group });
    expect(second.warnings).toEqual(first.warnings);
    expect(await inspectJail(jail.dir)).toMatchObject({ state: 'running', process: { pid: second.pid } });
  });

  it('of version 2 get their limits in its words', async () => {
    await using jail = await makeJail();
    // A plain directory stands in for the file system: vmjail writes to the files that are there.
    const root = join(jail.root, 'cgroup');
    const group = join(root, 'skerry', 'vm');
    await mkdir(group, { recursive: true });
    await writeFile(join(root, 'cgroup.controllers'), 'cpu memory pids\n');
    for (const dir of [root, join(root, 'skerry')]) await writeFile(join(dir, 'cgroup.subtree_control'), '');
    for (const file of ['memory.max', 'pids.max', 'cpu.max', 'cgroup.procs']) await writeFile(join(group, file), '');
    const host: JailHost = { ...jail.host, cgroupRoot: root };
    const { pid, warnings } = await launchJail(
      {
        dir: jail.dir,
        command: ['sleep', '60'],
        group: { name: 'skerry/vm', memoryMaxBytes: 1 << 27, pidsMax: 9, cpuMaxPercent: 150 },
      },
      host,
    );
    expect(warnings).toEqual([]);
    const read = (file: string): Promise<string> => readFile(join(group, file), 'utf8');
    expect(await read('memory.max')).toBe('134217728');
    expect(await read('pids.max')).toBe('9');
    expect(await read('cpu.max')).toBe('150000 100000');
    expect(await read('cgroup.procs')).toBe(String(pid));
    expect(await readFile(join(root, 'skerry', 'cgroup.subtree_control'), 'utf8')).not.toBe('');
  });

  it('that cannot be had are a warning each, and the process starts', async () => {
    await using jail = await makeJail();
    const host: JailHost = { ...jail.host, cgroupRoot: join(jail.root, 'none') };
    const group = { name: 'skerry/vm', memoryMaxBytes: 1 << 27, pidsMax: 9 };
    const { warnings } = await launchJail({ dir: jail.dir, command: ['sleep', '60'], group }, host);
    expect(warnings).toEqual([
      'no memory control group: No such file or directory',
      'no pids control group: No such file or directory',
    ]);
  });

  it("outside skerry's own are never touched", async () => {
    await using jail = await makeJail();
    for (const name of ['system.slice', 'skerry/../x', '/skerry', 'skerry/', 'skerry//x', 'skerry/.']) {
      await expect(jail.launch(['true'], { group: { name } })).rejects.toMatchObject({ code: 'internal' });
    }
  });
});
