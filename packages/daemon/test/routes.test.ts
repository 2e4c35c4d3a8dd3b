import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BOOT_ID_PATH } from '@skerry/engine';
import { API_PREFIX, HostUsage, OPERATIONS, routeOf, Secret, type OperationId } from '@skerry/api';
import fastify, { type FastifyInstance } from 'fastify';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { cloneHandlers, type ClonePlatform } from '../src/http/clone-routes.ts';
import { refuseTheRest, routePath } from '../src/http/routes.ts';
import { createServer } from '../src/http/server.ts';
import { openPlatform, type Platform } from '../src/platform.ts';

/** The whole daemon but for its socket, on directories of its own; no VM is started. */

const IDS = Object.keys(OPERATIONS) as OperationId[];
const FACTS = { version: '0', info: () => Promise.reject(new Error('not asked')), stop: () => {} };
let directory: string;
let platform: Platform;
let server: FastifyInstance;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'skerry-routes-'));
  const imagesDir = join(directory, 'images');
  platform = await openPlatform({
    paths: {
      dataDir: directory,
      runtimeDir: directory,
      cacheDir: directory,
      socketPath: join(directory, 'skerryd.sock'),
      instance: 'test',
      bootIdPath: BOOT_ID_PATH,
      images: { cacheDir: directory, imagesDir, guestDir: directory, agentBinary: join(directory, 'agent') },
    },
    log: () => {},
  });
  server = await createServer(platform, FACTS);
  await server.ready();
});
afterAll(async () => {
  await server.close();
  await platform.close();
  await rm(directory, { recursive: true, force: true });
});

test.each(IDS)('%s has a route', (id) => {
  const url = API_PREFIX + routePath(id);
  expect(server.hasRoute({ method: OPERATIONS[id].method, url })).toBe(true);
});

test('what has no handler is unsupported, with what to do; what is no operation is not found', async () => {
  const app = fastify();
  app.setErrorHandler((error: { code: string; remedy?: string }, _, reply) => reply.code(501).send({ ...error }));
  await app.register(
    async (scope) => {
      scope.get(routePath('vm.list'), () => ['served']);
      refuseTheRest(scope);
    },
    { prefix: API_PREFIX },
  );
  const params = {
    vm: 'a',
    node: 'a',
    image: 'a',
    task: 'a',
    template: 'a',
    save: 'a',
    secret: 'a',
    network: 'a',
    rule: '1',
    nic: 'a',
    fault: 'a',
    link: 'a',
  };
  for (const id of IDS) {
    const { method, path } = routeOf(id, params);
    const answer = await app.inject({ method: method as 'GET', url: path });
    if (id === 'vm.list') expect(answer.json()).toEqual(['served']);
    else
      expect(answer.json()).toMatchObject({
        code: 'unsupported',
        remedy: expect.any(String),
        details: { operation: id },
      });
  }
  expect((await app.inject({ url: `${API_PREFIX}/nothing` })).statusCode).toBe(404);
  await app.close();
});

test('every operation about templates, forks, saves and pools has one handler', () => {
  // Only the tables are looked at: nothing is called.
  const { answers, works } = cloneHandlers({ nodeCopies: {}, pools: {} } as ClonePlatform);
  const ours = /^(?:template\.|pool\.|vm\.(?:start|fork|suspend)$|node\.(?:fork|restore|save))/;
  const ids = IDS.filter((id) => ours.test(id));
  expect(Object.keys({ ...answers, ...works }).toSorted()).toEqual(ids.toSorted());
  for (const id of ids) expect(Object.keys(OPERATIONS[id].kind === 'task' ? works : answers)).toContain(id);
});

test('the usage of a host without VMs', async () => {
  const answer = await server.inject({ url: `${API_PREFIX}/host/usage` });
  expect(HostUsage.parse(answer.json())).toMatchObject({ vms: [], pools: [], templateBytes: expect.any(Number) });
});

test.each([
  ['no base64', { valueBase64: 'hunter2!hunter2!' }],
  ['no text', { valueBase64: ['hunter2!hunter2!'] }],
  ['another key', { value: 'hunter2!hunter2!' }],
  ['a key too many', { valueBase64: 'aGk=', more: 'hunter2!hunter2!' }],
  ['no JSON', '{"valueBase64": hunter2!hunter2!}'],
  ['half of JSON', '{"valueBase64": "hunter2!hunter2!'],
])('a secret that is refused (%s) is not in the answer', async (_, payload) => {
  const headers = { 'content-type': 'application/json' };
  const url = `${API_PREFIX}/secrets/db`;
  const answer = await server.inject({ method: 'PUT', url, headers, payload });
  expect(answer.statusCode).toBe(400);
  expect(answer.json()).toMatchObject({ code: 'invalid', remedy: expect.any(String) });
  expect(answer.body).not.toContain('hunter2');
});

test('the answers about a secret hold neither its value nor what it is encrypted to', async () => {
  const url = `${API_PREFIX}/secrets/db`;
  const payload = { valueBase64: Buffer.from('hunter2!hunter2!').toString('base64') };
  const set = await server.inject({ method: 'PUT', url, payload });
  const got = await server.inject({ url });
  const listed = await server.inject({ url: `${API_PREFIX}/secrets` });
  for (const { json } of [set, got]) expect(Secret.parse(json())).toEqual(json());
  expect(listed.json()).toEqual([got.json()]);
  expect((await server.inject({ method: 'PUT', url: `${API_PREFIX}/secrets/No_Name`, payload })).statusCode).toBe(400);
  expect((await server.inject({ method: 'DELETE', url })).json()).toEqual({});
  expect((await server.inject({ url })).statusCode).toBe(404);
});
