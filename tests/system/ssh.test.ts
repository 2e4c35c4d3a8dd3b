import { execFile, type ExecFileException } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startTestHost, type TestHost } from '@skerry/testkit/host';

/** VMs by the ssh, scp, sftp and rsync of this machine, as they are typed; they ask nothing (BatchMode). */

let host: TestHost;
let config: string;
beforeAll(async () => {
  host = await startTestHost();
  config = join(host.dir, 'ssh.config');
  const made = await host.cli(['create', 'web', '--ssh', '--start'], { timeoutMs: 240_000 });
  expect(made).toMatchObject({ exitCode: 0 });
  expect(await host.cli(['ssh-config', '--to', config])).toMatchObject({ exitCode: 0 });
});
afterAll(() => host[Symbol.asyncDispose]());

interface Outcome {
  readonly stdout: string;
  readonly stderr: string;
  readonly exitCode: number;
}

function run(command: string, args: readonly string[], input?: string): Promise<Outcome> {
  return new Promise((resolve) => {
    const options = { env: host.env, cwd: host.dir, timeout: 90_000 };
    const child = execFile(command, args, options, (error: ExecFileException | null, stdout, stderr) =>
      resolve({ stdout, stderr, exitCode: error === null ? 0 : Number(error.code ?? -1) }),
    );
    child.stdin?.on('error', () => undefined);
    child.stdin?.end(input);
  });
}

const OPTIONS = ['-o', 'BatchMode=yes'];
const ssh = (...args: string[]) => run('ssh', ['-F', config, ...OPTIONS, ...args]);
/** As a server shows it in the guest. */
const hostKeyOf = async (vm: string) =>
  (await host.client.exec(vm, 'dropbearkey -y -f /var/lib/skerry/ssh-host-key-* | grep ^ssh-')).stdout.split(' ')[1];
const rememberedKey = async (name: string) =>
  (await readFile(join(host.dirs.dataDir, 'ssh/known_hosts', name), 'utf8')).trim().split(' ')[2];

describe('ssh', () => {
  test('runs a command; its output and its exit code are ours', async () => {
    const typed = await host.cli(['ssh', 'web', '--', 'hostname; echo $HOME >&2; exit 7']);
    expect(typed).toEqual({ stdout: 'web\n', stderr: '/root\n', exitCode: 7 });
    expect(await ssh('web', 'hostname; exit 3')).toMatchObject({ stdout: 'web\n', stderr: '', exitCode: 3 });
    expect(await ssh('web.skerry', 'cat', '/proc/self/comm')).toMatchObject({ stdout: 'cat\n', exitCode: 0 });
  });

  test('passes standard input to its end', async () => {
    const sent = await run('ssh', ['-F', config, ...OPTIONS, 'web', 'wc -c'], 'x'.repeat(1_000_000));
    expect(sent).toMatchObject({ stdout: '1000000\n', exitCode: 0 });
  });

  test('knows the host key without a question, and does without no key', async () => {
    expect(await rememberedKey('web')).toBe(await hostKeyOf('web'));
    const strange = await ssh('-o', 'UserKnownHostsFile=/dev/null', 'web', 'true');
    expect(strange).toMatchObject({ exitCode: 255, stderr: expect.stringContaining('verification failed') });
  });

  test('another key than ours is not let in, nor any password', async () => {
    const key = join(host.dir, 'stranger');
    await run('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', key]);
    const bare = join(host.dir, 'bare.config');
    const text = await readFile(config, 'utf8');
    await writeFile(bare, text.replace(/IdentityFile .*/, `IdentityFile ${key}`));
    const alone = await run('ssh', ['-F', bare, ...OPTIONS, 'web', 'true']);
    expect(alone).toMatchObject({ exitCode: 255, stderr: expect.stringMatching(/Permission denied \(publickey\)/) });
  });

  test('several at once, the first to this VM, find one key', async () => {
    await host.client.run('vm.create', { body: { name: 'many', ssh: true, start: true } });
    const all = await Promise.all(Array.from({ length: 4 }, (_, index) => ssh('many.skerry', `echo ${index}`)));
    expect(all.map(({ stdout, exitCode }) => [stdout, exitCode])).toEqual([0, 1, 2, 3].map((each) => [`${each}\n`, 0]));
    const keys = await host.client.exec('many', 'wc -l < /root/.ssh/authorized_keys');
    expect(keys.stdout.trim()).toBe('1');
    await host.client.run('vm.delete', { params: { vm: 'many' }, query: { force: true } });
  });

  test('another user logs in, and what stands in its authorized_keys stays', async () => {
    const setUp =
      'adduser -D alice && mkdir ~alice/.ssh && printf "ssh-ed25519 AAAA other" > ~alice/.ssh/authorized_keys';
    await host.client.exec('web', `${setUp} && chown -R alice:alice ~alice/.ssh && chmod 700 ~alice/.ssh`);
    expect(await ssh('alice@web', 'id -un')).toMatchObject({ stdout: 'alice\n', exitCode: 0 });
    expect(await host.cli(['ssh', 'web', '-l', 'alice', '--', 'id', '-un'])).toMatchObject({ stdout: 'alice\n' });
    const { stdout } = await host.client.exec('web', 'cat ~alice/.ssh/authorized_keys');
    expect(stdout.split('\n')).toEqual([
      'ssh-ed25519 AAAA other',
      expect.stringMatching(/^ssh-ed25519 \S+ skerry$/),
      '',
    ]);
  });

  test('a link that a user has put in the place of its keys leads to nothing that is not its own', async () => {
    await host.client.exec('web', 'adduser -D eve && su eve -c "ln -s /root/.ssh ~/.ssh"');
    const before = (await host.client.exec('web', 'ls -lan /root/.ssh; cat /root/.ssh/authorized_keys')).stdout;
    const refused = await ssh('eve@web', 'id -un');
    expect(refused).toMatchObject({ exitCode: 255, stderr: expect.stringContaining('The key for eve') });
    expect((await host.client.exec('web', 'ls -lan /root/.ssh; cat /root/.ssh/authorized_keys')).stdout).toBe(before);
  });
});

describe('files', () => {
  test('scp copies there and back, nothing is changed on the way', async () => {
    const [file, back] = [join(host.dir, 'file'), join(host.dir, 'back')];
    await writeFile(file, randomBytes(3_000_000));
    expect(await run('scp', ['-F', config, ...OPTIONS, file, 'web:/tmp/'])).toMatchObject({ exitCode: 0 });
    expect(await run('scp', ['-F', config, ...OPTIONS, 'web:/tmp/file', back])).toMatchObject({ exitCode: 0 });
    expect((await readFile(back)).equals(await readFile(file))).toBe(true);
  });

  test('sftp lists', async () => {
    const listed = await run('sftp', ['-F', config, ...OPTIONS, '-b', '-', 'web'], 'ls /etc/passwd\n');
    expect(listed).toMatchObject({ exitCode: 0, stdout: expect.stringContaining('/etc/passwd') });
  });

  test('rsync -a copies a directory, and again only what differs', async () => {
    const dir = join(host.dir, 'D');
    await mkdir(join(dir, 'sub'), { recursive: true });
    await writeFile(join(dir, 'a'), 'a\n');
    await writeFile(join(dir, 'sub/b'), 'b\n');
    const rsync = () => run('rsync', ['-ai', '-e', `ssh -F ${config} ${OPTIONS.join(' ')}`, dir, 'web:/srv/']);
    expect(await rsync()).toMatchObject({ exitCode: 0 });
    expect((await host.client.exec('web', 'cat /srv/D/a /srv/D/sub/b')).stdout).toBe('a\nb\n');
    await writeFile(join(dir, 'a'), 'changed\n');
    const { stdout, exitCode } = await rsync();
    expect([exitCode, stdout.split('\n').filter((line) => line.startsWith('<'))]).toEqual([
      0,
      [expect.stringMatching(/D\/a$/)],
    ]);
  });
});

describe('who a VM is', () => {
  test('a fork has a host key of its own, and the original keeps its', async () => {
    const before = await hostKeyOf('web');
    expect(await host.cli(['fork', 'web', 'web-2'])).toMatchObject({ exitCode: 0 });
    const both = await Promise.all(['web', 'web-2'].map((name) => ssh(`${name}.skerry`, 'hostname')));
    expect(both.map(({ stdout }) => stdout)).toEqual(['web\n', 'web-2\n']);
    expect(await hostKeyOf('web')).toBe(before);
    expect(await rememberedKey('web-2.skerry')).toBe(await hostKeyOf('web-2'));
    expect(await hostKeyOf('web-2')).not.toBe(before);
    await host.client.run('vm.delete', { params: { vm: 'web-2' }, query: { force: true } });
  });

  test('the key stays over a restart; another VM of the same name has another, and is reached as before', async () => {
    const before = await hostKeyOf('web');
    await host.client.run('vm.restart', { params: { vm: 'web' } });
    expect(await ssh('web', 'true')).toMatchObject({ exitCode: 0 });
    expect(await hostKeyOf('web')).toBe(before);
    await host.client.run('vm.delete', { params: { vm: 'web' }, query: { force: true } });
    await host.client.run('vm.create', { body: { name: 'web', ssh: true, start: true } });
    expect(await ssh('web', 'hostname')).toMatchObject({ stdout: 'web\n', stderr: '', exitCode: 0 });
    expect(await hostKeyOf('web')).not.toBe(before);
  });

  test('a VM of a node, on a network that leads nowhere', async () => {
    const file = join(host.dir, 'shop.yaml');
    const vm = 'web: { image: micro-ssh, memory: 64Mi }';
    await writeFile(
      file,
      `apiVersion: skerry/v1\nname: shop\nnetworks: { default: { egress: false } }\nvms: { ${vm} }\n`,
    );
    expect(await host.cli(['up', file])).toMatchObject({ exitCode: 0 });
    expect(await ssh('web.shop.skerry', 'hostname')).toMatchObject({ stdout: 'web\n', exitCode: 0 });
    expect(await host.cli(['ssh', 'shop/web', '--', 'hostname'])).toMatchObject({ stdout: 'web\n', exitCode: 0 });
    const printed = await host.cli(['ssh-config']);
    expect(printed.stdout).toMatch(/^Host .*web\.shop.* \*\.skerry$/m);
    await host.client.run('node.delete', { params: { node: 'shop' } });
  });
});

describe('is refused, with what to type', () => {
  beforeAll(async () => {
    await host.client.run('vm.create', { body: { name: 'plain', start: true } });
    await host.client.run('vm.create', { body: { name: 'stopped', ssh: true } });
  });

  test.each([
    ['a VM without a server', ['ssh', 'plain'], 5, /plain has no ssh server/, /create NAME --ssh/],
    ['a stopped VM', ['ssh', 'stopped'], 4, /stopped is stopped/, /skerry start stopped/],
    ['an unknown VM', ['ssh', 'nobody'], 3, /no VM 'nobody'/, /skerry list/],
    ['an unknown VM of a configuration', ['ssh-config', 'nobody'], 3, /no VM 'nobody'/, /skerry list/],
    ['a server that an image does not have', ['create', 'new', 'nonsense', '--ssh'], 3, /no image/i, /\S/],
    ['an unknown user', ['connect', 'web:ssh', '--user', 'nobody-here'], 3, /no user 'nobody-here'/, /passwd/],
    ['a user that is no name', ['connect', 'web:ssh', '--user=-x; id'], 2, /not the name of a user/, /\S/],
    ['no port at all', ['connect', 'web'], 2, /names no port/, /web-vm:80/],
  ] as const)('%s', async (_, args, exitCode, message, remedy) => {
    const result = await host.cli(args);
    expect(result).toMatchObject({ exitCode, stdout: '' });
    const [said = '', ...advice] = result.stderr.split('\n');
    expect(said).toMatch(message);
    expect(advice.join('\n')).toMatch(remedy);
  });

  test('an image of a recipe, until it says `ssh: true`', async () => {
    const file = join(host.dir, 'recipe.yaml');
    const build = (ssh: string) =>
      writeFile(file, `name: own\nfrom: micro\nsize: 128Mi\n${ssh}`).then(() => host.cli(['image', 'build', file]));
    expect(await build('')).toMatchObject({ exitCode: 0 });
    const refused = await host.cli(['create', 'own', 'own', '--ssh']);
    expect(refused).toMatchObject({ exitCode: 5, stderr: expect.stringContaining('ssh: true') });
    expect(await build('ssh: true\n')).toMatchObject({ exitCode: 0 });
    expect(await host.cli(['create', 'own', 'own', '--ssh', '--start'])).toMatchObject({ exitCode: 0 });
    expect(await host.cli(['ssh', 'own', '--', 'hostname'])).toMatchObject({ stdout: 'own\n', exitCode: 0 });
  });

  test('by the ssh of this machine: our words come first', async () => {
    const refused = await ssh('plain.skerry', 'true');
    expect(refused).toMatchObject({
      exitCode: 255,
      stderr: expect.stringMatching(/^error: plain has no ssh server\n/),
    });
  });
});
