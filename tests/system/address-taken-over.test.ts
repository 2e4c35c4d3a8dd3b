import { afterAll, beforeAll, expect, test } from 'vitest';
import { startTestHost, type TestHost } from '@skerry/testkit';

/** Who has an address that another VM had until now is reached at once by those who know it under the other's MAC. */

const [ADDRESS, SPARE] = ['10.77.1.50', '10.77.1.60'];
let host: TestHost;
beforeAll(async () => {
  host = await startTestHost();
  await host.client.run('network.create', { body: { name: 'lab', mode: 'isolated', subnet: '10.77.1.0/24' } });
  await create('asks');
});
afterAll(() => host[Symbol.asyncDispose]());

const create = (name: string, address?: string) => {
  const nic = { network: 'lab', ...(address === undefined ? {} : { address }) };
  return host.client.run('vm.create', { body: { name, memoryMib: 64, nics: [nic], start: true } });
};
const sh = async (script: string): Promise<string> => (await host.client.exec('asks', script)).stdout;
const knownMac = async (): Promise<string | undefined> =>
  (await sh('cat /proc/net/arp'))
    .split('\n')
    .find((line) => line.startsWith(`${ADDRESS} `))
    ?.split(/\s+/)[3];

/** By itself the guest would ask anew after 15 to 45 s, and TCP later still. */
async function isReachedSoon(vm: string): Promise<void> {
  const { mac } = (await host.client.call('vm.get', { params: { vm } })).status.nics[0]!;
  await expect.poll(knownMac, { timeout: 8000 }).toBe(mac);
  expect(await sh(`ping -c 1 -W 5 ${ADDRESS} | grep -c 'bytes from'`)).toBe('1\n');
}

test('a VM that starts, and one that gets it while it runs', async () => {
  await create('first', ADDRESS);
  await sh(`ping -c 1 -W 5 ${ADDRESS}`);
  await host.client.run('vm.delete', { params: { vm: 'first' }, query: { force: true } });
  await create('second', ADDRESS);
  await isReachedSoon('second');

  await create('third', SPARE);
  await host.client.run('vm.delete', { params: { vm: 'second' }, query: { force: true } });
  await host.client.run('vm.nic.set', { params: { vm: 'third', nic: 'eth0' }, body: { address: ADDRESS } });
  await isReachedSoon('third');
});
