import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startTestHost, type TestHost } from '@skerry/testkit/host';

/** Images from recipes, by the command line: files, and commands that run in a VM of their own. */

let host: TestHost;
beforeAll(async () => void (host = await startTestHost()));
afterAll(() => host[Symbol.asyncDispose]());

async function build(body: string): Promise<{ exitCode: number | null; stderr: string }> {
  const file = join(host.dir, 'recipe.yaml');
  await writeFile(file, `apiVersion: skerry/v1\nkind: Image\nfrom: micro\nsize: 64Mi\n${body}`);
  return host.cli(['image', 'build', file]);
}
const imageNames = async () => (await host.client.call('image.list')).map((image) => image.name);

test('files and commands are in the image, and in each of its VMs', async () => {
  await writeFile(join(host.dir, 'motd'), 'welcome\n');
  const built = await build(
    [
      'name: greeter',
      'files:',
      '  - { path: /etc/motd, source: ./motd }',
      '  - { path: /usr/local/bin/greet, mode: \'0755\', content: "#!/bin/sh\\necho hello\\n" }',
      'run: [adduser -D alice, greet > /etc/greeting, su alice -c "id -un" >> /etc/greeting]',
      'command: sleep 1000',
      '',
    ].join('\n'),
  );
  expect(built).toMatchObject({ exitCode: 0 });
  const seen = await host.cli(['run', 'greeter', '--', 'cat', '/etc/motd', '/etc/greeting']);
  expect(seen).toMatchObject({ exitCode: 0, stdout: 'welcome\nhello\nalice\n' });
});

test.each(['micro', 'greeter'])('a VM of %s finds who it is behind links', async (image) => {
  const name = `who-${image}`;
  const vm = await host.client.run('vm.create', { body: { name, image, start: true } });
  const files = ['hostname', 'hosts', 'resolv.conf', 'machine-id'];
  const script = `hostname; cd /etc; cat ${files.join(' ')}; for file in ${files.join(' ')}; do readlink $file; done`;
  const { stdout } = await host.client.exec(name, script);
  const address = vm.status.nics[0]?.address;
  expect(stdout.split('\n')).toEqual([
    ...[name, name, '127.0.0.1 localhost', '::1 localhost ip6-localhost ip6-loopback', `${address} ${name}`],
    ...[`${address} ${name}.skerry ${name}`, 'search skerry', expect.stringMatching(/^nameserver [\d.]+$/) as string],
    ...[vm.id.replaceAll('-', ''), ...files.map((file) => `/run/skerry/${file}`), ''],
  ]);
  expect(await host.cli(['exec', name, '--', 'ping', '-c', '1', '-W', '5', name])).toMatchObject({ exitCode: 0 });
  expect(await host.cli(['cp', `${name}:/etc/hostname`, '-'])).toMatchObject({ stdout: `${name}\n` });
  await host.client.run('vm.delete', { params: { vm: name }, query: { force: true } });
});

test('a command that fails fails the build, and leaves no image and no VM', async () => {
  const built = await build("name: broken\nrun: ['echo before', 'echo reason >&2; exit 5']\n");
  expect(built.exitCode).toBe(1);
  expect(built.stderr).toContain('reason');
  expect(await imageNames()).not.toContain('broken');
  expect(await readdir(join(host.dirs.runtimeDir, 'b')).catch(() => [])).toEqual([]);
});

test('what our kernel can not boot in is refused, with what to write instead', async () => {
  const file = join(host.dir, 'foreign.yaml');
  await writeFile(file, 'name: foreign\nfrom: debian\n');
  const built = await host.cli(['image', 'build', file]);
  expect(built).toMatchObject({ exitCode: 2, stderr: expect.stringMatching(/foreign\.yaml:2:\d+: from: .*micro/) });
  expect(built.stderr).toContain('from: micro');
});

test('an image that a VM uses is not deleted', async () => {
  await host.client.run('vm.create', { body: { name: 'user', image: 'greeter' } });
  expect(await host.cli(['image', 'delete', 'greeter', '--yes'])).toMatchObject({
    exitCode: 4,
    stderr: expect.stringContaining('user'),
  });
  await host.client.run('vm.delete', { params: { vm: 'user' } });
  expect(await host.cli(['image', 'delete', 'greeter', '--yes'])).toMatchObject({ exitCode: 0 });
  expect(await imageNames()).not.toContain('greeter');
});
