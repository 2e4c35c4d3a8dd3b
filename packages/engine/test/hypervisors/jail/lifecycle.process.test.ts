import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { access, readFile, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  describeEnd,
  inspectJail,
  isAlive,
  killJailed,
  launchJail,
  planJail,
  readExit,
  readPid,
  watchExit,
} from '../../../src/hypervisors/jail/index.ts';
import { makeJail } from './fixture.ts';

describe('the end of a jailed process', () => {
  it('is told with exit code, times, size and last words', async () => {
    await using jail = await makeJail();
    const { end, process } = await jail.finish(['sh', '-c', 'echo one; echo "t\\351 \\"two\\"" >&2; exit 3']);
    expect(end.cause).toBe('exit');
    const exit = await readExit(jail.dir);
    expect(exit).toMatchObject({ pid: process.pid, startTime: process.startTime, code: 3, signal: null });
    expect(exit?.stderrTail).toContain('"two"');
    expect(exit?.maxRssKib).toBeGreaterThan(100);
    expect(exit?.endedAtMs).toBeGreaterThanOrEqual(exit?.startedAtMs ?? Infinity);
    expect(describeEnd(end)).toMatch(/^it ended with exit code 3: .*two/);
    expect((await readdir(jail.dir)).toSorted()).toEqual(['exit.json', 'lock']);
  });

  it('is told when the process is killed', async () => {
    await using jail = await makeJail();
    const { pid, startTime } = await jail.launch(['sleep', '60']);
    const end = watchExit(jail.dir);
    process.kill(pid, 'SIGKILL');
    expect(await end).toMatchObject({ cause: 'exit', exit: { code: null, signal: 'SIGKILL' } });
    expect(await isAlive(pid, startTime)).toBe(false);
  });

  it('takes what the process started with it', async () => {
    await using jail = await makeJail();
    const { output } = await jail.finish(['sh', '-c', 'sleep 60 & echo $!']);
    const grandchild = Number(output);
    expect(grandchild).toBeGreaterThan(1);
    // Its parent is gone, so init reaps it: soon, but not at once.
    await expect.poll(() => readFile(`/proc/${grandchild}/stat`, 'utf8').catch(() => '')).not.toMatch(/\) [SR] /);
  });

  it('is not a SIGHUP, which asks for other things and may come before who is asked understands it', async () => {
    await using jail = await makeJail();
    const { end } = await jail.finish(['sh', '-c', 'kill -HUP $$; exit 3']);
    expect(end).toMatchObject({ cause: 'exit', exit: { code: 3, signal: null } });
  });

  it('comes by SIGTERM, and by SIGKILL where that is ignored', async () => {
    await using jail = await makeJail();
    await jail.launch(['sleep', '60']);
    expect(await killJailed(jail.dir)).toMatchObject({ cause: 'exit', exit: { signal: 'SIGTERM' } });
    await jail.launch(['sh', '-c', 'trap "" TERM; while :; do sleep 0.2; done']);
    const before = Date.now();
    expect(await killJailed(jail.dir)).toMatchObject({ cause: 'exit', exit: { signal: 'SIGKILL' } });
    expect(Date.now() - before).toBeGreaterThan(4500);
  });

  it('is a crash that names the supervisor when that is killed, and the process goes with it', async () => {
    await using jail = await makeJail();
    const started = await jail.launch(['sleep', '60'], { listen: { qmp: join(jail.root, 'qmp') } });
    const end = watchExit(jail.dir);
    process.kill(started.jailPid, 'SIGKILL');
    expect(await end).toEqual({ cause: 'supervisor-killed' });
    await expect.poll(() => isAlive(started.pid, started.startTime)).toBe(false);
    expect(await inspectJail(jail.dir)).toEqual({ state: 'ended', end: { cause: 'supervisor-killed' } });
    // What it left is taken over.
    const again = await jail.launch(['sleep', '60'], { listen: { qmp: join(jail.root, 'qmp') } });
    expect(await inspectJail(jail.dir)).toMatchObject({ state: 'running', process: { pid: again.pid } });
  });
});

describe('a second start', () => {
  it('is refused while the first runs, and leaves that alone', async () => {
    await using jail = await makeJail();
    const first = await jail.launch(['sleep', '60']);
    await expect(jail.launch(['true'])).rejects.toMatchObject({ code: 'in-use', details: { step: 'lock' } });
    expect(await readPid(jail.dir)).toEqual(first);
    expect(await isAlive(first.pid, first.startTime)).toBe(true);
  });

  it('works as soon as the end of the first is known, many times over', async () => {
    await using jail = await makeJail();
    for (let i = 0; i < 20; i++)
      expect((await jail.finish(['sh', '-c', `exit ${i}`])).end).toMatchObject({ exit: { code: i } });
  });

  it('is won by exactly one of many at once', async () => {
    await using jail = await makeJail();
    const results = await Promise.allSettled(Array.from({ length: 6 }, () => jail.launch(['sleep', '60'])));
    expect(results.filter((result) => result.status === 'fulfilled')).toHaveLength(1);
  });
});

describe('a start that fails', () => {
  it('says which step and leaves nothing', async () => {
    await using jail = await makeJail();
    const socket = join(jail.root, 'qmp');
    const log = { path: join(jail.root, 'log'), capBytes: 100 };
    await expect(jail.launch(['/nowhere/qemu'], { listen: { qmp: socket }, log })).rejects.toMatchObject({
      code: 'unsupported',
      remedy: expect.stringContaining('/nowhere/qemu') as string,
    });
    const missing = { disk: { path: join(jail.root, 'none'), mode: 'rw' } } as const;
    await expect(jail.launch(['true'], { listen: { qmp: socket }, open: missing })).rejects.toMatchObject({
      message: expect.stringContaining('none') as string,
      details: { step: 'open' },
    });
    expect(await readdir(jail.root)).toEqual(['vm']);
    expect(await readdir(jail.dir)).toEqual(['lock']);
  });

  it('keeps the record of the run before', async () => {
    await using jail = await makeJail();
    await jail.finish(['sh', '-c', 'exit 7']);
    await expect(jail.launch(['/nowhere/qemu'])).rejects.toThrow();
    expect(await readExit(jail.dir)).toMatchObject({ code: 7 });
  });

  it('can be cancelled', async () => {
    await using jail = await makeJail();
    const abort = new AbortController();
    const started = launchJail({ dir: jail.dir, command: ['sleep', '60'] }, jail.host, { signal: abort.signal });
    abort.abort();
    await expect(started).rejects.toMatchObject({ code: 'cancelled' });
    await expect(access(join(jail.dir, 'pid'))).rejects.toThrow();
  });
});

describe('the daemon', () => {
  it('may die right after the spawn: the process lives on and is found', async () => {
    await using jail = await makeJail();
    const [command, ...args] = planJail({ dir: jail.dir, command: ['sleep', '60'] }, jail.host);
    const script = `const c = require('node:child_process').spawn(${JSON.stringify(command)}, ${JSON.stringify(args)},
      { detached: true, stdio: ['ignore', 'pipe', 'pipe'] }); c.stdout.once('data', () => process.kill(process.pid, 'SIGKILL'));`;
    const daemon = spawn(process.execPath, ['-e', script], { stdio: 'ignore' });
    expect(await once(daemon, 'exit')).toEqual([null, 'SIGKILL']);
    const found = await inspectJail(jail.dir);
    expect(found).toMatchObject({ state: 'running' });
    const end = watchExit(jail.dir);
    if (found.state === 'running') process.kill(found.process.pid, 'SIGINT');
    expect(await end).toMatchObject({ cause: 'exit', exit: { signal: 'SIGINT' } });
  });

  it('may die before the ready line: a broken pipe ends nothing', async () => {
    await using jail = await makeJail();
    const [command, ...args] = planJail({ dir: jail.dir, command: ['sleep', '60'] }, jail.host);
    const child = spawn(command, args, { detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
    child.stdout.destroy();
    child.stderr.destroy();
    await expect.poll(() => inspectJail(jail.dir)).toMatchObject({ state: 'running' });
  });

  it('is told of an end that it did not see, and of an empty directory', async () => {
    await using jail = await makeJail();
    expect(await inspectJail(jail.dir)).toEqual({ state: 'absent' });
    await expect(watchExit(jail.dir)).rejects.toMatchObject({ code: 'not-found' });
    await jail.finish(['true']);
    expect(await inspectJail(jail.dir)).toMatchObject({ state: 'ended', end: { exit: { code: 0 } } });
    expect(await watchExit(jail.dir)).toMatchObject({ cause: 'exit', exit: { code: 0 } });
  });

  it('does not take a process of an earlier boot for the VM', async () => {
    await using jail = await makeJail();
    const line = {
      ...{ ready: true, pid: process.pid, startTime: '1', jailPid: process.pid, jailStartTime: '1' },
      ...{ bootId: 'another', startedAt: 1, warnings: [] },
    };
    await writeFile(join(jail.dir, 'pid'), JSON.stringify(line));
    expect(await inspectJail(jail.dir)).toEqual({ state: 'ended', end: { cause: 'host-restarted' } });
    await jail.finish(['true']);
  });

  it('refuses a record of a newer version, and stops waiting when asked', async () => {
    await using jail = await makeJail();
    await jail.launch(['sleep', '60']);
    const abort = new AbortController();
    const end = watchExit(jail.dir, abort.signal);
    setTimeout(() => abort.abort(), 50);
    await expect(end).rejects.toMatchObject({ code: 'cancelled' });
    await killJailed(jail.dir, { force: true });
    await writeFile(join(jail.dir, 'exit.json'), '{"version":2}');
    await expect(readExit(jail.dir)).rejects.toMatchObject({ code: 'unsupported' });
    await writeFile(join(jail.dir, 'exit.json'), '{"vers');
    expect(await readExit(jail.dir)).toBeUndefined();
  });
});
