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
  parseShare,
  parseRestart,
  parseSizeBytes,
  routeOf,
  ROUTES,
  SkerryError,
  VmCreate,
  vmFileJsonSchema,
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

describe('shares', () => {
  test.each([
    ['./src:/mnt/src', { hostPath: './src', guestPath: '/mnt/src' }],
    ['/a b:/mnt/x:ro', { hostPath: '/a b', guestPath: '/mnt/x', readonly: true }],
    ['src:/x:rw', { hostPath: 'src', guestPath: '/x' }],
    ['C:src:/x', { hostPath: 'C:src', guestPath: '/x' }],
    ['src:/x:virtiofs', { hostPath: 'src', guestPath: '/x', how: 'virtiofs' }],
    ['src:/x:ro,virtiofs', { hostPath: 'src', guestPath: '/x', readonly: true, how: 'virtiofs' }],
    ['src:/x:9p,rw', { hostPath: 'src', guestPath: '/x', how: '9p' }],
  ])('%s', (text, share) => expect(parseShare(text)).toEqual(share));
  test.each([
    '',
    ':',
    './src',
    './src:',
    ':/mnt',
    './src:mnt',
    './src:/mnt:rx',
    './src:/a:/b:ro:ro',
    'a:/b:ro,rw',
    'a:/b:9p,virtiofs',
  ])('%j is none', (text) => {
    const wrong = expect.objectContaining({ code: 'invalid', remedy: expect.stringMatching(/^Write /) });
    expect(() => parseShare(text)).toThrow(wrong);
  });
  test('in a node file, relative to it', () => {
    const parsed = file({ vms: { web: { shares: ['./src:/mnt/src:ro'] } } });
    const spec = NodeSpec.parse(nodeSpecOf(parsed.data!, { ...noParts, absolute: (path) => `/node/${path.slice(2)}` }));
    expect(spec.vms['web']?.shares).toEqual([{ hostPath: '/node/src', guestPath: '/mnt/src', readonly: true }]);
    expect(file({ vms: { web: { shares: ['./src'] } } }).error?.issues[0]?.message).toMatch(/write \.\/src/);
  });
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

describe('restart policies', () => {
  test.each([
    ['never', { policy: 'never' }],
    ['always', { policy: 'always' }],
    ['on-failure:5', { policy: 'on-failure', maxTries: 5 }],
  ])('%s', (text, policy) => expect(parseRestart(text)).toEqual(policy));
  test.each(['', 'no', 'on-failure:', 'on-failure:0', 'on-failure:-1', 'always:1:2', 'never:1', 'Always'])(
    '%j is none',
    (text) => expect(() => parseRestart(text)).toThrow(SkerryError),
  );

  test('in a node file: short, in full, and by default', () => {
    const vms = {
      a: { restart: 'always', stopGracePeriod: '30s' },
      b: { restart: { policy: 'on-failure', maxTries: 2, backoff: '500ms' } },
      c: {},
    };
    const spec = NodeSpec.parse(
      nodeSpecOf(file({ autostart: 'off', defaults: { restart: 'on-failure:3' }, vms }).data!, noParts),
    );
    expect(spec.autostart).toBe('off');
    expect(spec.vms['a']).toMatchObject({ restart: { policy: 'always', backoffMs: 1000 }, stopGracePeriodMs: 30_000 });
    expect(spec.vms['b']?.restart).toEqual({ policy: 'on-failure', maxTries: 2, backoffMs: 500 });
    expect(spec.vms['c']?.restart).toEqual({ policy: 'on-failure', maxTries: 3, backoffMs: 1000 });
    const refused = JSON.stringify(file({ vms: { a: { restart: 'sometimes' } } }).error?.issues);
    expect(refused).toContain('never, on-failure, always or on-failure:5');
  });
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

  test('links are networks of their own, and their NICs come after those of networks', () => {
    const vms = { r1: { networks: ['a', 'b'] }, r2: {}, r3: {} };
    const links = [
      ['r1:eth3', 'r2:eth1'],
      ['r3:eth1', 'r1:eth2'],
    ];
    const parsed = file({ vms, links, networks: { a: null, b: null, default: null }, forward: [] });
    const spec = NodeSpec.parse(nodeSpecOf(parsed.data!, noParts));
    expect(checkNodeSpec(spec)).toEqual([]);
    const nics = spec.vms['r1']?.nics.map(({ network, index }) => [network, index]);
    expect(nics).toEqual([
      ['a', undefined],
      ['b', undefined],
      ['r3-eth1-r1-eth2', undefined],
      ['r1-eth3-r2-eth1', undefined],
    ]);
    expect(spec.vms['r2']?.nics.map(({ network }) => network)).toEqual(['default', 'r1-eth3-r2-eth1']);
    expect(spec.networks['r1-eth3-r2-eth1']).toMatchObject({ mode: 'link' });
    const several = { ...spec, vms: { ...spec.vms, r2: { ...spec.vms['r2']!, replicas: 2 } } };
    expect(checkNodeSpec(several)[0]?.message).toContain('there can be one of it only');
  });

  test.each([
    [[['web:eth1', 'nobody:eth1']], "'nobody' is no VM"],
    [[['web:eth0', 'db:eth1']], 'eth0 is on default: call the links of web eth1'],
    [[['web:eth2', 'db:eth1']], 'call the links of web eth1, each once'],
    [
      [
        ['web:eth1', 'db:eth1'],
        ['db:eth1', 'web:eth2'],
      ],
      'call the links of db eth1, eth2, each once',
    ],
    [[['web:1', 'db:eth1']], 'write VM:NIC'],
  ])('the links %j are refused: %s', (links, message) => {
    const wrong = file({ vms: { web: {}, db: {} }, links, forward: [] });
    expect(JSON.stringify(wrong.error?.issues)).toContain(message);
  });

  test('both ends of a link at one VM are no link', () => {
    const same = file({ vms: { web: {} }, links: [['web:eth1', 'web:eth2']], forward: [] });
    const problems = checkNodeSpec(NodeSpec.parse(nodeSpecOf(same.data!, noParts)));
    expect(problems[0]?.message).toContain('is between web and web');
  });

  test('has a JSON Schema that names its fields', () => {
    expect(Object.keys((nodeFileJsonSchema() as { properties: object }).properties)).toEqual(
      expect.arrayContaining(['apiVersion', 'name', 'defaults', 'vms', 'forward']),
    );
  });
});

test.each([
  ['node-file', nodeFileJsonSchema],
  ['vm-file', vmFileJsonSchema],
])('the JSON Schema %s in docs/reference is that of the contract', async (name, schema) => {
  const written = await readFile(new URL(`../../../docs/reference/${name}.schema.json`, import.meta.url), 'utf8');
  expect(JSON.parse(written), 'npm run reference writes it').toEqual(JSON.parse(JSON.stringify(schema())));
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
