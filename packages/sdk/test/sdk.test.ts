import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { connect, createVM, type Skerry, type VM } from '../src/index.ts';
import { startTestDaemon, type TestDaemon, vmOf } from '@skerry/testkit/contract-server';

let daemon: TestDaemon;
let client: Skerry;
let vm: VM;

beforeAll(async () => {
  daemon = await startTestDaemon();
  client = connect({ socketPath: daemon.socketPath });
});
afterAll(async () => {
  client.close();
  await daemon[Symbol.asyncDispose]();
});
beforeEach(async () => {
  daemon.vms.clear();
  const resource = vmOf('web', {}, { state: 'running' });
  daemon.vms.set(resource.id, resource);
  vm = await client.vm('web');
});

describe('calls', () => {
  test('answer with the typed result', async () => {
    const [first] = await client.call('vm.list');
    expect(first?.name).toBe('web');
  });

  test('throw what the daemon answered, with code and remedy', async () => {
    await expect(client.vm('nope')).rejects.toMatchObject({
      name: 'SkerryError',
      code: 'not-found',
      message: "There is no VM 'nope'",
      remedy: 'See `skerry list`.',
    });
  });

  test('name the socket where no daemon listens', async () => {
    const nobody = connect({ socketPath: `${daemon.directory}/nobody.sock` });
    await expect(nobody.call('vm.list')).rejects.toMatchObject({ code: 'unavailable', exitCode: 1 });
    await expect(nobody.call('vm.list')).rejects.toThrow('nobody.sock');
  });

  test('a name with a slash stays one path segment', async () => {
    const resource = vmOf('shop/web');
    daemon.vms.set(resource.id, resource);
    expect((await client.vm('shop/web')).name).toBe('shop/web');
  });
});

describe('tasks', () => {
  test('run to their end and tell their progress', async () => {
    const messages: string[] = [];
    const result = await client.run('vm.start', {
      params: { vm: 'web' },
      onProgress: ({ message }) => messages.push(message),
    });
    expect(result.status.state).toBe('running');
    expect(messages).toEqual(['booting']);
  });

  test('throw the error they failed with', async () => {
    const resource = vmOf('stuck');
    daemon.vms.set(resource.id, resource);
    await expect(client.run('vm.stop', { params: { vm: 'stuck' }, body: {} })).rejects.toMatchObject({
      code: 'timeout',
      remedy: 'Kill it.',
    });
  });

  test('are cancelled by their signal, and have ended when that throws', async () => {
    const abort = new AbortController();
    const making = createVM({
      client,
      name: 'slow',
      signal: abort.signal,
      onProgress: () => abort.abort(),
    });
    await expect(making).rejects.toMatchObject({ code: 'cancelled', exitCode: 130 });
    expect(daemon.tasks.at(-1)).toMatchObject({ kind: 'vm.create', state: 'cancelled' });
    expect([...daemon.vms.values()].map(({ name }) => name)).toEqual(['web']);
  });
});

describe('createVM', () => {
  test('makes, starts, and deletes what is ephemeral when the block ends', async () => {
    {
      await using made = await createVM({
        client,
        name: 'brief',
        os: 'micro',
        cpu: 1,
        memory: '128Mi',
        ephemeral: true,
      });
      expect((await made.info()).status.state).toBe('running');
    }
    await expect(client.vm('brief')).rejects.toMatchObject({ code: 'not-found' });
  });

  test('leaves alone what is not', async () => {
    {
      await using made = await createVM({ client, name: 'lasting', start: false });
      expect((await made.info()).status.state).toBe('stopped');
    }
    await client.vm('lasting');
  });
});

describe('memory', () => {
  test('a fork is a handle, several are a list of them', async () => {
    const copy = await vm.fork('web-2');
    expect(copy.name).toBe('web-2');
    expect((await copy.info()).status.state).toBe('running');
    const workers = await vm.fork('worker', { count: 3 });
    expect(workers.map(({ name }) => name)).toEqual(['worker-1', 'worker-2', 'worker-3']);
    expect(await vm.fork('one', { count: 1 })).toHaveLength(1);
    expect((await client.vms()).length).toBe(6);
  });

  test('suspended, then started: it goes on, unless its memory is not wanted', async () => {
    const said: string[] = [];
    const onProgress = ({ message }: { message: string }): void => void said.push(message);
    expect((await vm.suspend()).status.state).toBe('suspended');
    await vm.start({ onProgress });
    await vm.suspend();
    expect((await vm.start({ discardMemory: true, onProgress })).status.state).toBe('running');
    expect(said).toEqual(['resuming', 'booting']);
  });

  test('a VM that is to boot', async () => {
    const cold = await createVM({ client, name: 'cold', cold: true, start: false });
    expect((await cold.info()).spec.cold).toBe(true);
    expect((await (await createVM({ client, name: 'any', start: false })).info()).spec.cold).toBe(false);
  });

  test('templates and pools', async () => {
    const template = await client.templates.build('micro', { cpus: 2, memoryMib: 256 });
    expect(template.shape).toMatchObject({ cpus: 2, memoryMib: 256, nics: 1 });
    expect(await client.templates.list()).toEqual([template]);
    expect(await client.templates.get(template.id.slice(0, 6))).toEqual(template);
    expect(await client.templates.prune({ unusedForMs: 3_600_000 })).toEqual({ deleted: [], freedBytes: 0 });
    expect(await client.templates.prune()).toEqual({ deleted: [template.id], freedBytes: 256 * 2 ** 20 });
    await expect(client.templates.delete(template.id)).rejects.toMatchObject({ code: 'not-found' });
    await client.templates.setPolicy('micro', 'never');
    expect(daemon.policies.get('micro')).toBe('never');
    expect(await client.pools.set('micro', 5, { cpus: 2 })).toMatchObject({ size: 5, cpus: 2, memoryMib: 128 });
    expect(await client.pools.list()).toMatchObject([{ image: 'micro', size: 5 }]);
    await client.pools.set('micro', 0);
    expect(await client.pools.list()).toEqual([]);
  });

  test('usage is one call', async () => {
    expect((await client.call('host.usage')).vms).toMatchObject([{ name: 'web', pssBytes: 20 * 2 ** 20 }]);
  });
});

describe('files', () => {
  const big = Buffer.alloc(3_000_000, 'abcdefg');

  test('go there and back, from any kind of content', async () => {
    for (const content of [
      'text',
      Buffer.from('bytes'),
      Readable.from([big]),
      (async function* () {
        yield 'one';
        yield 'two';
      })(),
    ]) {
      const digest = await vm.files.write('/etc/x', content);
      const read = await vm.files.read('/etc/x');
      expect(digest).toEqual({ bytes: read.length, sha256: createHash('sha256').update(read).digest('hex') });
    }
    await vm.files.write('/empty', '');
    expect((await vm.files.read('/empty')).length).toBe(0);
  });

  test('that arrive damaged are an error in both directions', async () => {
    await expect(vm.files.write('/damaged', 'content')).rejects.toThrow('arrived damaged');
    await expect(vm.files.read('/damaged')).rejects.toThrow('arrived damaged');
  });

  test('a source that fails is its own error, and a refused upload ends the source', async () => {
    const source = new Readable({
      read() {
        this.destroy(new Error('disk on fire'));
      },
    });
    await expect(vm.files.write('/x', source)).rejects.toThrow('disk on fire');
    const { id } = vm;
    daemon.vms.delete(id);
    await expect(vm.files.write('/x', Readable.from([big, big, big]))).rejects.toMatchObject({ code: 'not-found' });
  });

  test('that are not there', async () => {
    await expect(vm.files.read('/nothing')).rejects.toMatchObject({ code: 'not-found' });
    await expect(vm.files.stat('/nothing')).rejects.toMatchObject({ code: 'not-found' });
  });
});

test('the console gives its past output and takes input', async () => {
  const stream = vm.console();
  stream.write('typed');
  let text = '';
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    text += chunk.toString();
    if (text.endsWith('typed')) break;
  }
  expect(text).toBe('past output\r\ntyped');
});
