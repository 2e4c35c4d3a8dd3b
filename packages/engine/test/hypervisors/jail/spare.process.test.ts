import { readFile } from 'node:fs/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { launchJail, SpareJail, watchExit } from '../../../src/hypervisors/jail/index.ts';
import { makeJail } from './fixture.ts';

/** Processes that execute `vmjail --wait` from this repository. */
const spares: SpareJail[] = [];
afterEach(async () => {
  for (const spare of spares.splice(0)) await spare.close();
});

function spareOf(vmjailPath: string): SpareJail {
  const spare = new SpareJail(vmjailPath);
  spares.push(spare);
  return spare;
}

async function childrenThatWait(): Promise<number[]> {
  const pids = (await readFile(`/proc/self/task/${process.pid}/children`, 'utf8')).trim().split(' ').filter(Boolean);
  const lines = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')));
  return pids.filter((_, index) => lines[index]?.endsWith('vmjail\0--wait\0') === true).map(Number);
}

describe('a spare supervisor', () => {
  it('goes on as the one that is wanted, once there is one', async () => {
    await using jail = await makeJail();
    const spare = spareOf(jail.host.vmjailPath);
    const arg = 'a "b"\n{c} ü';
    expect(spare.take([])).toBeUndefined();
    await expect.poll(childrenThatWait, { timeout: 10_000 }).toHaveLength(1);
    const [waiting] = await childrenThatWait();
    const launched = await launchJail(
      { dir: jail.dir, command: ['sh', '-c', 'printf "%s|" "$@"; cat; sleep 0.3', 'sh', arg, ''] },
      jail.host,
      { spare },
    );
    expect(launched.jailPid).toBe(waiting);
    expect(await readFile(`/proc/${launched.jailPid}/cmdline`, 'utf8')).toContain(jail.dir);
    const end = await watchExit(jail.dir);
    // Its stdin is empty, not what the arguments came through.
    expect(end).toMatchObject({ cause: 'exit', exit: { code: 0, stderrTail: `${arg}||` } });
    await expect.poll(childrenThatWait, { timeout: 10_000 }).toHaveLength(1);
  });

  it('says what is wrong as any other does', async () => {
    await using jail = await makeJail();
    const spare = spareOf(jail.host.vmjailPath);
    spare.take([]);
    await expect.poll(childrenThatWait, { timeout: 10_000 }).toHaveLength(1);
    const launched = launchJail({ dir: jail.dir, command: ['/nonexistent'] }, jail.host, { spare });
    await expect(launched).rejects.toMatchObject({ code: 'unsupported' });
  });

  it('ends when it is let go of, or has died, and a start does without it', async () => {
    await using jail = await makeJail();
    const spare = spareOf(jail.host.vmjailPath);
    spare.take([]);
    await expect.poll(childrenThatWait, { timeout: 10_000 }).toHaveLength(1);
    process.kill((await childrenThatWait())[0] as number, 'SIGKILL');
    await expect.poll(childrenThatWait).toHaveLength(0);
    await launchJail({ dir: jail.dir, command: ['true'] }, jail.host, { spare });
    await watchExit(jail.dir);
    await expect.poll(childrenThatWait, { timeout: 10_000 }).toHaveLength(1);
    await spare.close();
    expect(await childrenThatWait()).toHaveLength(0);
  });
});
