import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';

/** `node import` as a program: it needs no daemon. */

const MAIN = fileURLToPath(new URL('../src/main.ts', import.meta.url));
const COMPOSE = `services:
  web:
    image: alpine
    command: httpd -f
    ports: ['127.0.0.1:8080:80']
    privileged: true
    user: nobody
`;
const NODE = `# Imported from compose.yml by \`skerry node import\`.

apiVersion: skerry/v1
kind: Node
name: shop
vms:
  web:
    image: micro # was: alpine
    command:
      - httpd
      - -f
forward:
  - host: 8080
    to: web:80
`;

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'skerry-node-import-'));
  await writeFile(join(directory, 'compose.yml'), COMPOSE);
});
afterAll(() => rm(directory, { recursive: true, force: true }));

async function skerry(args: readonly string[], input = '') {
  const env = { ...process.env, SKERRY_HOST: join(directory, 'no-daemon') };
  const child = spawn(process.execPath, ['--conditions=source', MAIN, ...args], { cwd: directory, env, stdio: 'pipe' });
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  child.stdin.end(input);
  const [exitCode] = (await once(child, 'close')) as [number | null];
  return { stdout, stderr, exitCode };
}

test('the node file goes to standard output, what it does not say to standard error', async () => {
  const { stdout, stderr, exitCode } = await skerry(['node', 'import', 'compose.yml', '--name', 'shop']);
  expect({ stdout, exitCode }).toEqual({ stdout: NODE, exitCode: 0 });
  expect(stderr).toMatch(/^compose\.yml:3:5: changed: services\.web\.image: /m);
  expect(stderr).toMatch(/^compose\.yml:6:5: unneeded: services\.web\.privileged: .*\n/m);
  expect(stderr).toMatch(/^compose\.yml:7:5: lost: services\.web\.user: the command runs as root\n {2}Begin it with /m);
});

test('or to a file, that is replaced with --force only', async () => {
  const path = join(directory, 'node.yaml');
  const args = ['node', 'import', 'compose.yml', '--name', 'shop', '--to', 'node.yaml'];
  expect(await skerry(args)).toMatchObject({ exitCode: 0, stdout: '' });
  expect(await readFile(path, 'utf8')).toBe(NODE);
  await writeFile(path, 'mine');
  expect(await skerry(args)).toMatchObject({ exitCode: 4, stderr: expect.stringContaining('--force') as string });
  expect(await readFile(path, 'utf8')).toBe('mine');
  expect(await skerry([...args, '--force'])).toMatchObject({ exitCode: 0 });
  expect(await readFile(path, 'utf8')).toBe(NODE);
  expect(await skerry([...args.slice(0, -1), 'no/such/node.yaml'])).toMatchObject({ exitCode: 1 });
});

test('as data it is one answer, from standard input too', async () => {
  const { stdout, stderr, exitCode } = await skerry(['node', 'import', '-', '--name', 'shop', '-o', 'json'], COMPOSE);
  expect({ stderr, exitCode }).toEqual({ stderr: '', exitCode: 0 });
  const { format, file, findings } = JSON.parse(stdout) as Record<string, unknown>;
  expect(format).toBe('compose');
  expect(file).toMatchObject({ name: 'shop', vms: { web: { image: 'micro' } } });
  expect(findings).toContainEqual(
    expect.objectContaining({ kind: 'lost', path: 'services.web.user', line: 7, column: 5 }),
  );
});

test('what is neither of the two is a wrong input', async () => {
  const { stdout, stderr, exitCode } = await skerry(['node', 'import', '-'], 'kind: Node\n');
  expect({ stdout, exitCode }).toEqual({ stdout: '', exitCode: 2 });
  expect(stderr).toContain('neither a compose file nor a containerlab topology');
});
