import { expect, test } from 'vitest';
import { loadOrder, moduleName, parseModinfo } from '../../src/images/modules.ts';

const modinfo = (...fields: string[]): Uint8Array => Buffer.from(`ELF...\0${fields.join('\0')}\0...`, 'latin1');

test('a module’s needs come from its own file, hard ones and those it asks for before itself', () => {
  const bytes = modinfo('license=GPL', 'depends=jbd2,mbcache', 'softdep=pre: crc32c-generic post: other', 'name=ext4');
  expect(parseModinfo('ext4', bytes)).toEqual({ name: 'ext4', needs: ['jbd2', 'mbcache', 'crc32c_generic'] });
  expect(parseModinfo('virtio', modinfo('license=GPL', 'depends=', 'name=virtio'))).toEqual({
    name: 'virtio',
    needs: [],
  });
});

test('file names are written as the kernel writes modules', () => {
  expect(moduleName('virtio-rng.ko')).toBe('virtio_rng');
  expect(moduleName('virtio_net.ko.xz')).toBe('virtio_net');
});

test('each module comes once, after all it needs; what is no module is left out', async () => {
  const needs: Record<string, string[]> = {
    virtio_net: ['virtio', 'net_failover'],
    net_failover: ['failover'],
    failover: [],
    virtio: ['virtio_ring'],
    virtio_ring: [],
    virtio_blk: ['virtio'],
  };
  const infoOf = async (name: string) => (needs[name] === undefined ? undefined : { name, needs: needs[name] });
  const order = await loadOrder(['virtio_net', 'built_in', 'virtio_blk', 'virtio_net'], infoOf);
  expect(order).toEqual(['virtio_ring', 'virtio', 'failover', 'net_failover', 'virtio_net', 'virtio_blk']);
});

test('a circle of needs ends', async () => {
  const infoOf = async (name: string) => ({ name, needs: [name === 'a' ? 'b' : 'a'] });
  expect((await loadOrder(['a'], infoOf)).toSorted()).toEqual(['a', 'b']);
});
