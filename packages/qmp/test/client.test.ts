import { duplexPair } from 'node:stream';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { randomUUID } from 'node:crypto';
import * as fc from '@skerry/testkit/properties';
import { describe, expect, it } from 'vitest';
import { QmpClient, QmpError, type QmpEvent } from '@skerry/qmp';
import { connected, GREETING, Peer } from './peer.ts';

const EVENT = { event: 'STOP', data: {}, timestamp: { seconds: 1_700_000_000, microseconds: 123_456 } };

describe('QmpClient', () => {
  it('pipelines: all commands are sent before the first answer, and each gets its own', async () => {
    const { client, peer } = await connected();
    const answers = Promise.all([client.execute('query-status'), client.execute('query-name'), client.execute('stop')]);
    const third = await peer.command(3);
    expect(peer.commands.slice(1).map((command) => command.execute)).toEqual(['query-status', 'query-name', 'stop']);
    peer.say({ return: {}, id: third.id });
    peer.say({ return: { status: 'paused' }, id: third.id - 2 });
    peer.say({ return: { name: 'web' }, id: third.id - 1 });
    expect(await answers).toEqual([{ status: 'paused' }, { name: 'web' }, {}]);
    client.close();
  });

  it("gives QEMU's refusal as a QmpError with class and description", async () => {
    const { client, peer } = await connected();
    const refused = client.execute('device_del', { id: 'nic9' });
    const { id } = await peer.command(1);
    peer.say({ error: { class: 'DeviceNotFound', desc: "Device 'nic9' not found" }, id });
    await expect(refused).rejects.toThrow(QmpError);
    await expect(refused).rejects.toMatchObject({
      class: 'DeviceNotFound',
      desc: "Device 'nic9' not found",
      command: 'device_del',
    });
    client.close();
  });

  it('reads any sequence of answers and events alike however it is cut', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.boolean(), { maxLength: 20 }),
        fc.array(fc.nat(), { maxLength: 30 }),
        async (kinds, cuts) => {
          const { client, peer } = await connected();
          const seen: QmpEvent[] = [];
          client.onEvent((event) => seen.push(event));
          const answers = kinds.filter((isAnswer) => isAnswer).map(() => client.execute('query-name'));
          let id = 1;
          const text = kinds.map((isAnswer) => {
            if (!isAnswer) return `${JSON.stringify(EVENT)}\r\n`;
            id += 1;
            return `${JSON.stringify({ return: { name: `žluť${id}` }, id })}\r\n`;
          });
          const bytes = Buffer.from(text.join(''));
          const places = [
            0,
            ...cuts.map((place) => place % (bytes.length + 1)).toSorted((a, b) => a - b),
            bytes.length,
          ];
          for (const [index, end] of places.slice(1).entries()) {
            if (end > (places[index] ?? 0)) peer.stream.write(bytes.subarray(places[index], end));
          }
          expect(await Promise.all(answers)).toEqual(answers.map((_, index) => ({ name: `žluť${index + 2}` })));
          await new Promise((resolve) => setImmediate(resolve));
          expect(seen).toHaveLength(kinds.length - answers.length);
          client.close();
        },
      ),
      { numRuns: 40 },
    );
  });

  it('gives events to an iterator that was late, in order, and ends it with the connection', async () => {
    const { client, peer } = await connected();
    const events = client.events();
    peer.say(EVENT);
    peer.say({ ...EVENT, event: 'RESUME' });
    peer.stream.end();
    const seen: string[] = [];
    for await (const event of events) seen.push(`${event.event} ${event.atMs}`);
    expect(seen).toEqual(['STOP 1700000000123', 'RESUME 1700000000123']);
    expect(await client.closed).toMatchObject({ code: 'unavailable' });
  });

  it.each([
    ['no JSON', 'hello\n', /not JSON: hello/],
    ['a list', '[1]\n', /not an object/],
    ['an unknown message', '{"a":1}\n', /neither greeting/],
    ['an answer to nothing', '{"return":{},"id":99}\n', /never sent/],
    ['an answer with an id that is none', '{"return":{},"id":"1"}\n', /id is not a number/],
    ['a complaint without id', '{"error":{"class":"GenericError","desc":"JSON parse error"}}\n', /did not understand/],
    ['an event without a time', '{"event":"STOP"}\n', /timestamp/],
  ])('drops a peer that says %s, and rejects what waits', async (_, text, why) => {
    const { client, peer } = await connected();
    const waiting = [client.execute('query-status'), client.execute('stop')];
    peer.say(text);
    for (const one of waiting)
      await expect(one).rejects.toMatchObject({ code: 'unavailable', message: expect.stringMatching(why) });
    expect(await client.closed).toMatchObject({ message: expect.stringMatching(why) });
    await expect(client.execute('cont')).rejects.toMatchObject({ code: 'unavailable' });
    expect(peer.commands).toHaveLength(3);
  });

  it('drops a peer whose line has no end, without keeping more than 16 MiB of it', async () => {
    const { client, peer } = await connected();
    const waiting = client.execute('query-status');
    const block = Buffer.alloc(1024 * 1024, ' ');
    for (let sent = 0; sent <= 16; sent += 1) peer.stream.write(block);
    await expect(waiting).rejects.toMatchObject({
      code: 'unavailable',
      message: expect.stringMatching(/longer than 16777216 bytes/),
    });
  });

  it('gives up a command at its deadline, ignores the late answer and stays usable', async () => {
    const { client, peer } = await connected();
    await expect(client.execute('query-status', {}, { timeoutMs: 20 })).rejects.toMatchObject({ code: 'timeout' });
    const name = client.execute('query-name');
    await peer.command(2);
    peer.say({ return: { status: 'running' }, id: 2 });
    peer.say({ return: { name: 'web' }, id: 3 });
    expect(await name).toEqual({ name: 'web' });
    client.close();
  });

  it('cancels with its signal, before and after the command is sent', async () => {
    const { client, peer } = await connected();
    const controller = new AbortController();
    const waiting = client.execute('query-status', {}, { signal: controller.signal });
    controller.abort();
    await expect(waiting).rejects.toMatchObject({ code: 'cancelled' });
    await expect(client.execute('stop', {}, { signal: controller.signal })).rejects.toMatchObject({
      code: 'cancelled',
    });
    await peer.command(1);
    expect(peer.commands.map((command) => command.execute)).not.toContain('stop');
    client.close();
  });

  it('rejects what waits when it is closed, and says no reason to `closed`', async () => {
    const { client } = await connected();
    const waiting = client.execute('query-status');
    client.close();
    await expect(waiting).rejects.toMatchObject({ code: 'unavailable' });
    expect(await client.closed).toBeUndefined();
  });

  it('does not wait for ever for a greeting', async () => {
    const [near] = duplexPair();
    await expect(QmpClient.connect(near, { timeoutMs: 30 })).rejects.toMatchObject({ code: 'timeout' });
    expect(near.destroyed).toBe(true);
  });

  it('does not wait for ever for the capabilities', async () => {
    const [near, far] = duplexPair();
    new Peer(far).say(GREETING);
    await expect(QmpClient.connect(near, { timeoutMs: 30 })).rejects.toMatchObject({ code: 'timeout' });
  });

  it('says who does not answer when nobody listens', async () => {
    const path = join(tmpdir(), `skerry-${randomUUID().slice(0, 8)}`);
    await expect(QmpClient.connect(path)).rejects.toMatchObject({
      code: 'unavailable',
      message: expect.stringContaining(path),
    });
  });
});
