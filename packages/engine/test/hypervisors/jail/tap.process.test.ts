import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { run } from '../../../src/hosts/index.ts';
import { killJailed } from '../../../src/hypervisors/jail/index.ts';
import { isRoot, makeJail } from './fixture.ts';

/** A tap in the hands of a process without rights: made for it, and gone with it. It is down all the time. */

const VM = { uid: 720_322, gid: 720_322 };
const newName = (): string => `skt${randomBytes(5).toString('hex')}`;

interface Link {
  readonly flags: readonly string[];
  readonly linkinfo: { readonly info_data: Record<string, unknown> };
}

async function linkOf(name: string): Promise<Link | undefined> {
  const { stdout } = await run(['ip', '-j', '-d', 'link', 'show', 'dev', name], { okExitCodes: 'any' });
  return stdout === '' ? undefined : (JSON.parse(stdout) as Link[])[0];
}

describe.runIf(isRoot)('a tap', () => {
  it('is made for the process, down, and goes with it however it ends', async () => {
    await using jail = await makeJail();
    const name = newName();
    await jail.launch(['sleep', '60'], { taps: { t: name }, owner: VM });
    const link = await linkOf(name);
    expect(link?.flags).not.toContain('UP');
    expect(link?.linkinfo.info_data).toMatchObject({ type: 'tap', pi: false, vnet_hdr: true, persist: false });
    await killJailed(jail.dir, { force: true });
    await expect.poll(() => linkOf(name)).toBeUndefined();
  });

  it('is the descriptor whose number the process is told', async () => {
    await using jail = await makeJail();
    const name = newName();
    const { output } = await jail.finish(['sh', '-c', 'readlink /proc/self/fd/{t}; grep iff: /proc/self/fdinfo/{t}'], {
      taps: { t: name },
      owner: VM,
    });
    expect(output).toBe(`/dev/net/tun\niff:\t${name}\n`);
  });

  it('is alone, in a network namespace of its own, if it has no name', async () => {
    await using jail = await makeJail();
    const { output } = await jail.finish(
      ['sh', '-c', 'grep iff: /proc/self/fdinfo/{a} /proc/self/fdinfo/{b}; readlink /proc/self/ns/net'],
      { taps: { a: '', b: '' }, owner: VM },
    );
    const [first, second, namespace] = output.trim().split('\n');
    expect([first, second]).toEqual([expect.stringMatching(/iff:\tskalone$/), expect.stringMatching(/iff:\tskalone$/)]);
    // The process itself is where we are.
    expect(namespace).toBe((await run(['readlink', '/proc/self/ns/net'])).stdout.trim());
    expect(await linkOf('skalone')).toBeUndefined();
  });

  it('is not one that is there, nor one of another name', async () => {
    await using jail = await makeJail();
    await using other = await makeJail();
    const name = newName();
    await jail.launch(['sleep', '60'], { taps: { t: name }, owner: VM });
    await expect(other.launch(['true'], { taps: { t: name }, owner: VM })).rejects.toMatchObject({ code: 'in-use' });
    await using third = await makeJail();
    await expect(third.launch(['true'], { taps: { t: 'eth0' } })).rejects.toMatchObject({ code: 'internal' });
  });
});
