import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SkerryError } from '@skerry/api';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { loadDeclarations, loadNodeFile, loadRecipe } from '../src/index.ts';

let directory: string;
beforeAll(async () => void (directory = await mkdtemp(join(tmpdir(), 'skerry-node-file-'))));
afterAll(() => rm(directory, { recursive: true, force: true }));

let count = 0;
async function put(text: string, name = `node-${(count += 1)}.yaml`): Promise<string> {
  const path = join(directory, name);
  await writeFile(path, text);
  return path;
}

/** Line:column: message of every problem. */
async function problemsOf(text: string, load: (path: string) => Promise<unknown> = loadNodeFile): Promise<string[]> {
  const path = await put(text);
  const error = await load(path).then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(SkerryError);
  const { code, remedy, details, message } = error as SkerryError;
  expect(code).toBe('invalid');
  expect(remedy).toMatch(/./);
  const problems = details?.['problems'] as Array<{ text: string }>;
  expect(problems[0]?.text).toBe(message);
  return problems.map((problem) => problem.text.slice(path.length + 1));
}

const HEAD = 'apiVersion: skerry/v1\nname: shop\n';

describe('a node file', () => {
  test('becomes the normal form, with what it names beside it', async () => {
    await put('server {}\n', 'nginx.conf');
    await put('name: nginx\nfrom: micro\npackages: [nginx-light]\nsize: 64Mi\n', 'nginx.yaml');
    const path = await put(`${HEAD}defaults: { memory: 96Mi, env: { A: 1 } }
vms:
  web:
    image: ./nginx.yaml
    command: nginx -g 'daemon off;'
    files: [{ path: /etc/nginx/nginx.conf, source: nginx.conf, mode: '0600' }]
    health: { http: { port: 80, path: /ok }, interval: 200ms }
    dependsOn: { cache: { condition: healthy } }
  cache: { cpu: 2 }
forward: [{ host: 8080, to: "web:80" }]
`);
    const { name, spec } = await loadNodeFile(path);
    expect(name).toBe('shop');
    expect(spec.vms['cache']).toMatchObject({ image: 'micro', cpus: 2, memoryMib: 96, env: { A: '1' } });
    expect(spec.vms['web']).toMatchObject({
      image: 'nginx',
      command: ['sh', '-c', "nginx -g 'daemon off;'"],
      files: [{ path: '/etc/nginx/nginx.conf', contentBase64: btoa('server {}\n'), mode: 0o600 }],
      health: { kind: 'http', port: 80, path: '/ok', intervalMs: 200 },
      forwards: [{ hostPort: 8080, guestPort: 80 }],
      dependsOn: [{ vm: 'cache', condition: 'healthy' }],
    });
    expect(spec.recipes?.['nginx']).toMatchObject({ packages: ['nginx-light'], sizeMib: 64 });
  });

  test.each([
    ['a tab', `${HEAD}vms:\n\tweb: {}\n`, ['4:1: ', 'Tabs are not allowed']],
    ['a key twice', `${HEAD}name: other\nvms: { web: {} }\n`, ['3:1: ', 'unique']],
    ['an unknown key', `${HEAD}vms:\n  web:\n    memroy: 64Mi\n`, ["5:5: vms.web: there is no key 'memroy' here"]],
    ['0 CPUs', `${HEAD}vms:\n  web:\n    cpu: 0\n`, ['5:10: vms.web.cpu: a VM needs at least 1 CPU']],
    [
      'too little memory',
      `${HEAD}vms:\n  web:\n    memory: 4Mi\n`,
      ['5:13: vms.web.memory: a VM needs at least 32 MiB'],
    ],
    ['a size that is none', `${HEAD}vms:\n  web:\n    memory: lots\n`, ["5:13: vms.web.memory: 'lots' is not a size"]],
    ['a bad VM name', `${HEAD}vms:\n  we_b: {}\n`, ['4:3: vms.we_b: not a name']],
    ['a name with a slash', 'apiVersion: skerry/v1\nname: a/b\nvms: { web: {} }\n', ['2:7: name: not a name']],
    ['no VMs', `${HEAD}vms: {}\n`, ['3:6: vms: a node has at least one VM']],
    [
      'another version',
      'apiVersion: skerry/v9\nname: shop\nvms: { web: {} }\n',
      ['1:13: apiVersion: write apiVersion: skerry/v1'],
    ],
    [
      'a missing VM',
      `${HEAD}vms:\n  web:\n    dependsOn: [db]\n`,
      ["5:16: web depends on 'db', which is no VM of this node"],
    ],
    [
      'a cycle',
      `${HEAD}vms:\n  a: { dependsOn: [b] }\n  b:\n    dependsOn: [a]\n`,
      ['4:19: dependsOn goes in a circle: a -> b -> a'],
    ],
    ['an undeclared network', `${HEAD}vms:\n  web:\n    networks: [back]\n`, ["5:15: web is on the network 'back'"]],
    [
      'a forward to nowhere',
      `${HEAD}vms: { web: {} }\nforward:\n  - host: 80\n    to: wob:80\n`,
      ["6:9: forward.0.to: 'wob' is no VM"],
    ],
    [
      'a port twice',
      `${HEAD}vms: { web: {} }\nforward: [{ host: 80, to: 'web:80' }, { host: 80, to: 'web:81' }]\n`,
      ['4:10: port 127.0.0.1:80 is forwarded to both'],
    ],
    [
      'a missing file',
      `${HEAD}vms:\n  web:\n    files:\n      - path: /x\n        source: gone.txt\n`,
      ['7:17: There is no file gone.txt'],
    ],
    ['a missing recipe', `${HEAD}vms:\n  web:\n    image: ./gone.yaml\n`, ['5:12: There is no file']],
    [
      'a bare mode',
      `${HEAD}vms:\n  web:\n    files:\n      - { path: /x, content: x, mode: 0755 }\n`,
      ['6:39: vms.web.files.0.mode: write the mode in quotes'],
    ],
    ['health that is none', `${HEAD}vms:\n  web:\n    health: { tcp: 99999 }\n`, ['5:20: vms.web.health.tcp: ']],
    ['an empty file', '', ['1:1: ']],
    ['too many aliases', `${HEAD}vms: &a { web: {} }\nx: [${'*a,'.repeat(200)}]\n`, ['1:1: ']],
  ])('tells %s with line and column', async (_, text, [start = '', part = '']) => {
    const [first = ''] = await problemsOf(text);
    expect(first.startsWith(start), first).toBe(true);
    expect(first).toContain(part);
  });

  test('lists all that is wrong, in the order of the file', async () => {
    const problems = await problemsOf(`${HEAD}vms:\n  web:\n    cpu: 0\n    kernel: windows\n  db: { memory: x }\n`);
    expect(problems.map((text) => text.split(':').slice(0, 2).join(':'))).toEqual(['5:10', '6:13', '7:17']);
  });

  test('names the keys that are known', async () => {
    const path = await put(`${HEAD}vms:\n  web: { memroy: 1 }\n`);
    await expect(loadNodeFile(path)).rejects.toMatchObject({ remedy: expect.stringContaining('memory') as string });
  });

  test('that is not there', async () => {
    await expect(loadNodeFile(join(directory, 'gone.yaml'))).rejects.toMatchObject({ code: 'not-found' });
    await expect(loadNodeFile(directory)).rejects.toMatchObject({ code: 'invalid' });
  });
});

describe('a file of several things', () => {
  const VM = 'apiVersion: skerry/v1\nkind: VM\nname: web-vm\n';

  test('has VMs and nodes, with what they name beside them', async () => {
    await put('hello\n', 'hello.txt');
    const path = await put(
      `${VM}files: [{ path: /hello, source: hello.txt }]\n---\n# nothing\n---\n${HEAD}vms: { web: {} }\n`,
    );
    const [vm, node, ...others] = await loadDeclarations(path);
    expect(vm).toMatchObject({
      kind: 'VM',
      name: 'web-vm',
      vm: { memoryMib: 128, files: [{ contentBase64: btoa('hello\n') }] },
    });
    // What it says nothing of is as it is, or as for a new one.
    expect(vm).not.toHaveProperty('vm.networks', expect.anything());
    expect(node).toMatchObject({ kind: 'Node', name: 'shop' });
    expect(others).toEqual([]);
  });

  test.each([
    ['a value that is wrong', `${VM}---\n${VM}cpu: 0\n`, ['8:6: cpu: a VM needs at least 1 CPU']],
    ['one that only the normal form refuses', `${VM}memory: 4Mi\n`, ['4:9: memory: a VM needs at least 32 MiB']],
    ['a key that nobody knows', `${VM}memroy: 4Mi\n`, ["4:1: there is no key 'memroy' here"]],
    ['a kind that is none', `kind: Pod\nname: x\n`, ["1:7: there is no kind 'Pod'"]],
    ['the same twice', `${VM}---\n${VM}`, ['7:7: the VM web-vm is declared twice in this file']],
    ['a label that nobody could select', `${VM}labels: { tier: 前 }\n`, ['4:17: labels.tier: not a value of a label']],
  ])('%s is told with its place in the whole file', async (_, text, expected) => {
    expect(await problemsOf(text, loadDeclarations)).toEqual(expected);
  });

  test('with nothing in it is refused', async () => {
    await expect(loadDeclarations(await put('# nothing\n'))).rejects.toMatchObject({ code: 'invalid' });
  });
});

describe('a recipe', () => {
  test('becomes the normal form', async () => {
    await put('text', 'motd');
    const path = await put(
      'name: web\nfrom: micro\npackages: [nginx]\nfiles: [{ path: /etc/motd, source: motd }]\nrun: [echo hi]\n',
    );
    expect(await loadRecipe(path)).toMatchObject({
      name: 'web',
      packages: ['nginx'],
      files: [{ contentBase64: btoa('text') }],
    });
  });

  test.each([
    ['another base', 'name: x\nfrom: ubuntu\n', "2:7: from: Skerry's kernel and agent boot"],
    ['a package that is an option', 'name: x\nfrom: micro\npackages:\n  - --purge\n', '4:5: packages.0: not a package'],
    ['an unknown key', 'name: x\nfrom: micro\npackage: [a]\n', "3:1: there is no key 'package' here"],
    ['a missing file', 'name: x\nfrom: micro\nfiles: [{ path: /x, source: gone }]\n', '3:29: There is no file gone'],
  ])('tells %s with line and column', async (_, text, start) => {
    const [first = ''] = await problemsOf(text, loadRecipe);
    expect(first.startsWith(start), first).toBe(true);
  });
});
