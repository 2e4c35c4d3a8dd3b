import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { hasTaskEnded, type Vm } from '@skerry/api';
import { startTestHost, type TestHost } from '@skerry/testkit';
import { Random } from '../soak/random.ts';

/** A running node copied at one instant: SKERRY_FORKS=50 for the full count, SKERRY_SEED=N for other moments. */

const FORKS = Number(process.env['SKERRY_FORKS'] ?? 3);
/** Numbers a second. */
const RATE = Number(process.env['SKERRY_RATE'] ?? 200);
/** As in traffic.c: only then a number that was lost on UDP is known to be. */
const LATE = 100;
const ROUNDS = Number(process.env['SKERRY_ROUNDS'] ?? 3);
const random = new Random(Number(process.env['SKERRY_SEED'] ?? 20_261));

let host: TestHost;
beforeAll(async () => {
  host = await startTestHost();
  const vm = { image: 'micro', cpus: 1, memoryMib: 64, nics: [{ network: 'inner' }] };
  const spec = { vms: { left: vm, right: vm }, networks: { inner: { egress: false } } };
  await host.client.run('node.up', { body: { name: 'pair', spec } });
});
afterAll(() => host[Symbol.asyncDispose]());

const names = async (): Promise<string[]> => (await host.client.call('vm.list')).map(({ name }) => name).toSorted();
const get = (vm: string): Promise<Vm> => host.client.call('vm.get', { params: { vm } });
const forkNode = (node: string, name: string) => host.client.run('node.fork', { params: { node }, body: { name } });
const deleteNode = (node: string) => host.client.run('node.delete', { params: { node } });
async function sh(vm: string, script: string): Promise<string> {
  const { stdout, stderr, exitCode } = await host.client.exec(vm, script);
  expect([exitCode, stderr], script).toEqual([0, '']);
  return stdout.trim();
}

/** Numbers from one VM to the other, over TCP and over UDP, as long as they live: see traffic.c. */
async function startTraffic(node: string): Promise<void> {
  const program = join(host.dir, 'traffic');
  await promisify(execFile)('cc', ['-static', '-O2', '-o', program, join(import.meta.dirname, 'traffic.c')]);
  for (const vm of ['left', 'right']) {
    const { exitCode, stderr } = await host.cli(['cp', program, `${node}/${vm}:/bin/traffic`]);
    expect(exitCode, stderr).toBe(0);
  }
  const { address } = (await get(`${node}/right`)).status.nics[0] as { address: string };
  await sh(`${node}/right`, 'setsid traffic receive </dev/null >/dev/null 2>&1 & sleep 0.3');
  await sh(`${node}/left`, `setsid traffic send ${address} ${RATE} </dev/null >/dev/null 2>&1 &`);
  await expect.poll(() => received(`${node}/right`), { timeout: 20_000 }).toBeGreaterThan(20);
}

/** How many numbers have come over both; none of them twice, and none left out (on UDP: unless a daemon died over it). */
async function received(vm: string, { isLossy = false } = {}): Promise<number> {
  const [tcp = 0, wrong, udp = 0, missing, repeats] = (await sh(vm, 'cat /run/traffic 2>/dev/null || echo 0 0 0 0 0'))
    .split(' ')
    .map(Number);
  const faults = isLossy ? { wrong, repeats } : { wrong, missing, repeats };
  const none = isLossy ? { wrong: 0, repeats: 0 } : { wrong: 0, missing: 0, repeats: 0 };
  expect(faults, `at ${vm} after ${tcp} numbers`).toEqual(none);
  return Math.min(tcp, udp);
}

async function goesOn(vm: string, how: { isLossy?: boolean } = {}): Promise<void> {
  const before = await received(vm, how);
  await expect.poll(() => received(vm, how), { timeout: 30_000, interval: 200 }).toBeGreaterThan(before + LATE);
}

test(
  `connections between VMs go on in the original and in ${FORKS} forks, without a gap or a repeat`,
  async () => {
    await startTraffic('pair');
    for (let count = 1; count <= FORKS; count += 1) {
      const fork = await forkNode('pair', `copy-${count}`);
      expect(fork).toMatchObject({ name: `copy-${count}`, status: { state: 'up' } });
      await Promise.all([goesOn('pair/right'), goesOn(`copy-${count}/right`)]);
      const [original, copy] = await Promise.all([get('pair/left'), get(`copy-${count}/left`)]);
      expect(copy.status.nics.map(({ mac, address }) => [mac, address])).toEqual(
        original.status.nics.map(({ mac, address }) => [mac, address]),
      );
      expect(copy.status.nics[0]?.network).toBe(`copy-${count}-inner`);
      const identity = 'hostname; cat /etc/machine-id /run/skerry/generation /proc/sys/kernel/random/boot_id';
      const [ours, theirs] = await Promise.all(
        ['pair/left', `copy-${count}/left`].map(async (vm) => (await sh(vm, identity)).split('\n')),
      );
      expect(theirs?.[0]).toBe(ours?.[0]);
      for (const index of [1, 2, 3]) expect(theirs?.[index]).not.toBe(ours?.[index]);
      await deleteNode(`copy-${count}`);
    }
    expect(await names()).toEqual(['pair/left', 'pair/right']);
  },
  60_000 + FORKS * 20_000,
);

test('the two do not hear each other', async () => {
  await forkNode('pair', 'apart');
  await sh('pair/left', 'echo original >/run/who; (nc -l -p 9100 </run/who >/dev/null 2>&1 &)');
  await sh('apart/left', 'echo fork >/run/who; (nc -l -p 9100 </run/who >/dev/null 2>&1 &)');
  expect(await sh('apart/right', 'nc left 9100 </dev/null')).toBe('fork');
  expect(await sh('pair/right', 'nc left 9100 </dev/null')).toBe('original');
  await deleteNode('apart');
});

test('what was saved comes back: memory, disks and connections', async () => {
  await sh('pair/left', 'echo then >/run/note; echo then >/root/note; sync');
  // So that numbers are on their way at the cut: they come with what is restored.
  expect(await host.cli(['link', 'impair', 'pair/left:eth0', '--delay', '250ms'])).toMatchObject({ exitCode: 0 });
  const save = await host.client.run('node.save', { params: { node: 'pair' }, body: { name: 'before' } });
  expect(save).toMatchObject({ name: 'before', vms: [{ state: 'running' }, { state: 'running' }] });
  await goesOn('pair/right');
  await sh('pair/left', 'echo now >/run/note; echo now >/root/note; touch /root/new; sync');
  for (let again = 0; again < 2; again += 1) {
    const back = await host.client.run('node.restore', { params: { node: 'pair' }, body: { save: 'before' } });
    expect(back.status.state).toBe('up');
    expect(await sh('pair/left', 'cat /run/note /root/note; ls /root/new 2>/dev/null; true')).toBe('then\nthen');
    await goesOn('pair/right');
  }
  expect(await host.cli(['link', 'impair', 'pair/left:eth0', '--clear'])).toMatchObject({ exitCode: 0 });
  const saves = await host.client.call('node.saves', { params: { node: 'pair' } });
  expect(saves.map(({ name }) => name)).toEqual(['before']);
  const twice = host.client.run('node.save', { params: { node: 'pair' }, body: { name: 'before' } });
  await expect(twice).rejects.toMatchObject({ code: 'conflict' });
  const none = host.client.run('node.restore', { params: { node: 'pair' }, body: { save: 'never' } });
  await expect(none).rejects.toMatchObject({ code: 'not-found' });
  await goesOn('pair/right');
}, 60_000);

test('an image that only a save needs is not deleted', async () => {
  const recipe = join(host.dir, 'old.yaml');
  await writeFile(
    recipe,
    'apiVersion: skerry/v1\nkind: Image\nname: old\nfrom: micro\nfiles: [{ path: /a, content: a }]\n',
  );
  expect(await host.cli(['image', 'build', recipe])).toMatchObject({ exitCode: 0 });
  const up = (image: string): Promise<unknown> => {
    const spec = { vms: { vm: { image, cpus: 1, memoryMib: 64 } }, networks: { default: {} } };
    return host.client.run('node.up', { body: { name: 'one', spec } });
  };
  await up('old');
  await host.client.run('node.save', { params: { node: 'one' }, body: { name: 'before' } });
  await up('micro');
  const remove = () => host.client.run('image.delete', { params: { image: 'old' } });
  await expect(remove()).rejects.toMatchObject({ code: 'in-use', remedy: /skerry node delete-save one before/ });
  await host.client.run('node.save.delete', { params: { node: 'one', save: 'before' } });
  await remove();
  await deleteNode('one');
});

test('a name that is taken, and a VM that is paused, are refused, and nothing has changed', async () => {
  await expect(forkNode('pair', 'pair')).rejects.toMatchObject({ code: 'conflict' });
  await host.client.run('vm.pause', { params: { vm: 'pair/left' } });
  await expect(forkNode('pair', 'other')).rejects.toMatchObject({ code: 'wrong-state', remedy: /skerry resume/ });
  await host.client.run('vm.resume', { params: { vm: 'pair/left' } });
  expect(await names()).toEqual(['pair/left', 'pair/right']);
  expect(await host.leftovers()).toEqual([]);
  await goesOn('pair/right');
});

test(
  `the daemon dies ${ROUNDS} times over a fork: the original lives, the fork is whole or gone`,
  async () => {
    for (let round = 0; round < ROUNDS; round += 1) {
      const fork = host.client.call('node.fork', { params: { node: 'pair' }, body: { name: 'late' } });
      fork.catch(() => undefined);
      const afterMs = random.below(900);
      await sleep(afterMs);
      await host.kill9();
      await host.start();
      await expect
        .poll(async () => (await host.client.call('task.list')).every(hasTaskEnded), { timeout: 30_000 })
        .toBe(true);
      const settled = async (): Promise<string> => {
        const nodes = await host.client.call('node.list');
        return nodes
          .map(({ name, status }) => `${name}=${status.state}`)
          .toSorted()
          .join(' ');
      };
      await expect.poll(settled, { timeout: 30_000 }).toMatch(/^(?:late=up )?pair=up$/);
      if ((await settled()).startsWith('late')) await deleteNode('late');
      expect(await names(), `after ${afterMs} ms`).toEqual(['pair/left', 'pair/right']);
      expect(await host.leftovers(), `after ${afterMs} ms`).toEqual([]);
      // The one who still ran has sent to the one who stood still.
      await goesOn('pair/right', { isLossy: true });
    }
  },
  60_000 + ROUNDS * 30_000,
);
