import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startTestHost, type TestHost } from '@skerry/testkit/host';
import { arePossible, makeSurroundings, WORLD_IP } from '../attacks/surroundings.ts';

/** VMs on bridges of the kernel that go on from memory: QEMU takes one that had a tap with a tap alone. */

const possible = arePossible();
const TIMEOUT_MS = 120_000;
const WAIT = { timeout: 20_000 };
const NODE = `apiVersion: skerry/v1
kind: Node
name: pair
defaults: { memory: 64Mi, networks: [inner] }
vms: { x: {}, y: {} }
networks: { inner: { mode: isolated, datapath: kernel } }
`;

const undo = new AsyncDisposableStack();
let host: TestHost;

beforeAll(async () => {
  if (!possible) return;
  const surroundings = undo.use(await makeSurroundings());
  host = undo.use(await startTestHost({ wrap: ['nsenter', `--net=${surroundings.host}`] }));
  await said('network create lab --subnet 192.168.60.0/24 --datapath kernel');
  await said('create a micro --memory 64Mi --network lab --start');
  await said('create b micro --memory 64Mi --network lab --start');
  await host.client.exec('a', 'echo 7 >/root/n; sleep 100000 >/dev/null 2>&1 &');
}, TIMEOUT_MS);
afterAll(() => undo.disposeAsync(), TIMEOUT_MS);

async function said(line: string): Promise<string> {
  const { exitCode, stdout, stderr } = await host.cli(line.split(' '));
  expect(exitCode, `${line}: ${stderr}`).toBe(0);
  return stdout;
}

async function inGuest(vm: string, command: string): Promise<string> {
  return (await host.client.exec(vm, command)).stdout.trim();
}

async function pings(vm: string, to: string): Promise<boolean> {
  return (await host.client.exec(vm, `ping -c 1 -W 2 ${to}`)).exitCode === 0;
}

/** What it did goes on, and it reaches its neighbour and the world. */
async function goesOn(vm: string): Promise<void> {
  expect(await inGuest(vm, 'cat /root/n; hostname; ps | grep -c "[s]leep 100000"')).toBe(`7\n${vm}\n1`);
  await expect.poll(() => pings(vm, 'b'), WAIT).toBe(true);
  await expect.poll(() => pings(vm, WORLD_IP), WAIT).toBe(true);
}

test.skipIf(!possible)(
  'suspended and started, also after the daemon was killed',
  async () => {
    await said('suspend a');
    await host.kill9();
    await host.start();
    await said('start a');
    expect(await said('info a')).toContain('resumed');
    await goesOn('a');
  },
  TIMEOUT_MS,
);

test.skipIf(!possible)(
  'forked, once and several times at once, and what was forked is suspended',
  async () => {
    await said('fork a twin');
    await goesOn('twin');
    await said('fork a more --count 3');
    for (const vm of ['more-1', 'more-3', 'a']) await goesOn(vm);
    await said('suspend twin');
    await said('start twin');
    await goesOn('twin');
  },
  TIMEOUT_MS,
);

test.skipIf(!possible)(
  'without the NIC that it had',
  async () => {
    await said('create alone micro --memory 64Mi --network lab --start');
    await said('nic remove alone eth0');
    await said('suspend alone');
    await said('start alone');
    expect(await inGuest('alone', 'hostname')).toBe('alone');
    await said('nic add alone --network lab');
    await said('restart alone');
    await expect.poll(() => pings('alone', 'b'), WAIT).toBe(true);
  },
  TIMEOUT_MS,
);

test.skipIf(!possible)(
  'a node, forked, saved and restored',
  async () => {
    const path = join(host.dir, 'pair.yaml');
    await writeFile(path, NODE);
    await said(`up ${path}`);
    await said('node fork pair copy');
    await expect.poll(() => pings('copy/x', 'y'), WAIT).toBe(true);
    await said('node save pair before');
    await inGuest('pair/x', 'touch /root/later');
    await said('node restore pair before -y');
    expect(await inGuest('pair/x', 'ls /root')).toBe('');
    await expect.poll(() => pings('pair/x', 'y'), WAIT).toBe(true);
    expect(await host.leftovers()).toEqual([]);
  },
  TIMEOUT_MS,
);
