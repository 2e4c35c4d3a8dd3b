import { cp, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { checkNodeSpec, NodeFile, NodeSpec, nodeSpecOf, SkerryError } from '@skerry/api';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { importNodeFile, type ImportedNode } from '../src/index.ts';

const FIXTURES = join(import.meta.dirname, 'import');
const files = (await readdir(FIXTURES)).filter((name) => name.endsWith('.yml'));

let directory: string;
const sockets = createServer();
beforeAll(async () => {
  directory = join(await mkdtemp(join(tmpdir(), 'skerry-import-')), 'my shop');
  await cp(FIXTURES, directory, { recursive: true });
  // What the files name beside them: directories, files, a socket.
  for (const name of ['html', 'data', 'conf/more', 'run', 'r1', 's1'])
    await mkdir(join(directory, name), { recursive: true });
  for (const name of ['nginx.conf', 'api.toml', 'limits.conf', 'r1/daemons'])
    await writeFile(join(directory, name), '');
  await writeFile(join(directory, '.env'), "# of the project\nexport FROM_FILE='a b' # comment\nEMPTY=\n");
  await new Promise<void>((resolve) => sockets.listen(join(directory, 'run/engine.sock'), resolve));
});
afterAll(async () => {
  sockets.close();
  await rm(join(directory, '..'), { recursive: true, force: true });
});

const imported = (name: string): Promise<ImportedNode> =>
  importNodeFile(join(directory, name), { to: join(directory, 'node.yaml') });

function shown({ text, findings }: ImportedNode): string {
  const lines = findings.map(
    ({ kind, path, line, column, message, remedy }) =>
      `${line}:${column} ${kind} ${path}: ${message}${remedy === undefined ? '' : `\n    ${remedy}`}`,
  );
  return `${text}\n--- not translated\n${lines.join('\n')}\n`;
}

describe('a file of another program', () => {
  test.each(files)('%s becomes a node file, and a list of what it does not say', async (name) => {
    const result = await imported(name);
    await expect(shown(result)).toMatchFileSnapshot(join(FIXTURES, `${name.replace('.yml', '')}.golden`));
  });

  test.each(files)('%s becomes what `up` takes', async (name) => {
    const { text, file } = await imported(name);
    const { parse } = await import('yaml');
    const read = NodeFile.parse(parse(text));
    expect(read).toEqual(file);
    const spec = NodeSpec.parse(
      nodeSpecOf(read, { sources: new Map(), recipes: new Map(), absolute: (path) => join(directory, path) }),
    );
    expect(checkNodeSpec(spec)).toEqual([]);
  });

  test('what is neither, or nothing, or two, is refused with what was expected', async () => {
    const refused = async (text: string): Promise<string> => {
      const path = join(directory, 'wrong.yml');
      await writeFile(path, text);
      const error = await importNodeFile(path).then(
        () => undefined,
        (thrown: unknown) => thrown,
      );
      expect(error).toBeInstanceOf(SkerryError);
      expect((error as SkerryError).remedy).toMatch(/./);
      return `${(error as SkerryError).code} ${(error as SkerryError).message.replace(directory, '')}`;
    };
    expect(await refused('kind: Node\n')).toBe(
      'invalid /wrong.yml is neither a compose file nor a containerlab topology',
    );
    expect(await refused('')).toBe('invalid /wrong.yml is to hold one document, not none');
    expect(await refused('services: {}\n---\nservices: {}\n')).toBe(
      'invalid /wrong.yml is to hold one document, not 2',
    );
    expect(await refused('services: {}\n')).toBe('invalid /wrong.yml declares nothing that could be a VM');
    expect(await refused('services:\n\tweb: {}\n')).toContain('/wrong.yml:2:1: Tabs');
    await expect(importNodeFile(join(directory, 'nothing.yml'))).rejects.toMatchObject({ code: 'not-found' });
  });

  test('paths are written as from where the node file is to be', async () => {
    const { file } = await importNodeFile(join(directory, 'shop.compose.yml'), {
      to: join(directory, 'nodes/shop.yaml'),
    });
    expect(file.vms['web-front']?.shares).toEqual(['../html:/usr/share/nginx/html:ro']);
  });
});
