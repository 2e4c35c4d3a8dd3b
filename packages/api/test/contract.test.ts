import { readFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import {
  checkNodeSpec,
  ERROR_KINDS,
  NodeFile,
  nodeFileJsonSchema,
  NodeSpec,
  nodeSpecOf,
  OPERATIONS,
  parseDurationMs,
  parseMemoryMib,
  parseSizeBytes,
  routeOf,
  ROUTES,
  SkerryError,
  VmCreate,
} from '../src/index.ts';

const noParts = { sources: new Map(), recipes: new Map() };
const file = (change: object) =>
  NodeFile.safeParse({ apiVersion: 'skerry/v1', name: 'shop', vms: { web: {} }, ...change });

describe('units', () => {
  test.each([
    ['128Mi', 128],
    ['128M', 128],
    ['128', 128],
    ['1G', 1024],
    ['1.5Gi', 1536],
  ])('%s is %d MiB', (text, mib) => expect(parseMemoryMib(text)).toBe(mib));

  test('sizes are binary whatever their spelling', () => {
    expect(new Set(['4G', '4Gi', '4096M', '4096Mi', '4GB'].map(parseSizeBytes)).size).toBe(1);
  });

  test.each(['', 'x', '12Q', '-1', '1e3', '1Ki2'])('%j is no size', (text) => {
    expect(() => parseSizeBytes(text)).toThrow(SkerryError);
  });

  test.each([
    ['500ms', 500],
    ['30s', 30_000],
    ['5m', 300_000],
    ['2h', 7_200_000],
  ])('%s is %d ms', (text, ms) => expect(parseDurationMs(text)).toBe(ms));
});

describe('names', () => {
  test.each(['web', 'a', 'a-1', 'x'.repeat(63)])('%s is a name', (name) => {
    expect(VmCreate.safeParse({ name }).success).toBe(true);
  });
  test.each(['', '..', 'a/b', 'a b', '-a', 'a-', 'A', 'x'.repeat(200), 'ä', 'a\n', '--help'])('%j is none', (name) => {
    expect(VmCreate.safeParse({ name }).success).toBe(false);
  });
});

test.each([
  [{ cpus: 0 }, 'a VM needs at least 1 CPU'],
  [{ memoryMib: 1 }, 'a VM needs at least 32 MiB'],
  [{ unknown: 1 }, 'Unrecognized key'],
])('%j is refused in words', (change, message) => {
  expect(VmCreate.safeParse({ name: 'web', ...change }).error?.issues[0]?.message).toContain(message);
});

describe('the node file', () => {
  test('becomes the normal form', () => {
    const parsed = file({
      defaults: { memory: '64Mi', env: { A: 1 } },
      vms: {
        web: { command: 'echo hi', dependsOn: ['db'], env: { B: true } },
        db: { health: { tcp: 6379, interval: '1s' } },
      },
      forward: [
        { host: 8080, to: 'web:80' },
        { host: '0.0.0.0:81', to: 'web:81' },
      ],
    });
    const spec = NodeSpec.parse(nodeSpecOf(parsed.data!, noParts));
    expect(spec.vms['web']).toMatchObject({
      memoryMib: 64,
      env: { A: '1', B: 'true' },
      command: ['sh', '-c', 'echo hi'],
      dependsOn: [{ vm: 'db', condition: 'started' }],
      forwards: [
        { hostAddress: '127.0.0.1', hostPort: 8080, guestPort: 80 },
        { hostAddress: '0.0.0.0', hostPort: 81, guestPort: 81 },
      ],
    });
    expect(spec.vms['db']?.health).toMatchObject({ kind: 'tcp', port: 6379, intervalMs: 1000 });
  });

  test.each([
    [{ apiVersion: 'skerry/v2' }, 'write apiVersion: skerry/v1'],
    [{ vms: {} }, 'at least one VM'],
    [{ vms: { web: { cpu: 0 } } }, 'at least 1 CPU'],
    [{ vms: { web: { memory: 'lots' } } }, 'write 128Mi or 1Gi'],
    [{ forward: [{ host: 80, to: 'db:80' }] }, "'db' is no VM of this node"],
    [{ vms: { web: { files: [{ path: '/x' }] } } }, 'either `content`'],
  ])('%j is refused in words', (change, message) => {
    expect(JSON.stringify(file(change).error?.issues)).toContain(message);
  });

  test.each([
    [{ web: { dependsOn: ['web'] } }, 'in a circle: web -> web'],
    [{ a: { dependsOn: ['b'] }, b: { dependsOn: ['c'] }, c: { dependsOn: ['a'] } }, 'in a circle: a -> b -> c -> a'],
    [{ web: { dependsOn: ['db'] } }, "depends on 'db', which is no VM"],
    [{ web: { networks: ['front'] } }, "network 'front', which is not declared"],
  ])('%j: %s', (vms, message) => {
    const problems = checkNodeSpec(NodeSpec.parse(nodeSpecOf(file({ vms }).data!, noParts)));
    expect(problems[0]?.message).toContain(message);
    expect(problems[0]?.remedy).toBeTruthy();
  });

  test('has a JSON Schema that names its fields', () => {
    expect(Object.keys((nodeFileJsonSchema() as { properties: object }).properties)).toEqual(
      expect.arrayContaining(['apiVersion', 'name', 'defaults', 'vms', 'forward']),
    );
  });
});

test('the JSON Schema in docs/reference is that of the contract', async () => {
  const written = await readFile(new URL('../../../docs/reference/node-file.schema.json', import.meta.url), 'utf8');
  expect(JSON.parse(written), 'npm run reference writes it').toEqual(JSON.parse(JSON.stringify(nodeFileJsonSchema())));
});

describe('operations', () => {
  test('no two answer the same call', () => {
    const calls = Object.values(OPERATIONS).map(({ method, path }) => `${method} ${path.replace(/\{\w+\}/g, '{}')}`);
    expect(new Set(calls).size).toBe(calls.length);
  });

  test('the routes that clients use are those of the operations, and none is missing', () => {
    const routes = Object.entries(OPERATIONS).map(([id, { method, path }]) => [id, `${method} ${path}`]);
    expect(ROUTES).toEqual(Object.fromEntries(routes));
  });

  test('a name with a slash is one part of a path', () => {
    expect(routeOf('vm.start', { vm: 'shop/web' })).toEqual({ method: 'POST', path: '/v1/vms/shop%2Fweb/start' });
    expect(() => routeOf('vm.start')).toThrow(TypeError);
  });
});

test('every error has a status, and an exit code that says whose turn it is', () => {
  expect(Object.fromEntries(Object.entries(ERROR_KINDS).map(([code, kind]) => [code, kind.exitCode]))).toMatchObject({
    invalid: 2,
    'not-found': 3,
    conflict: 4,
    'in-use': 4,
    refused: 5,
    unsupported: 5,
    timeout: 6,
    cancelled: 130,
    internal: 1,
  });
  const error = new SkerryError('in-use', 'taken', { remedy: 'choose another', details: { port: 1 } });
  expect(SkerryError.fromBody(JSON.parse(JSON.stringify(error.toBody())))).toMatchObject({
    code: 'in-use',
    remedy: 'choose another',
  });
  expect(SkerryError.from(new Error('oops')).code).toBe('internal');
});
