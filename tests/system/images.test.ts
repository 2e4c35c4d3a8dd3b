import { mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ImageRecipe, type SkerryError } from '../../packages/api/src/index.ts';
import { hostPaths, run } from '../../packages/engine/src/hosts/index.ts';
import {
  buildInitrd,
  buildKernel,
  buildMicro,
  buildRecipe,
  findBuilt,
  findKernel,
  openCatalogue,
  type ImagePaths,
  type Kernel,
} from '../../packages/engine/src/images/index.ts';
import { bootForRecipe, bootGuest } from './images-guest.ts';

/** The distribution's kernel, the micro image and recipes: built for real, booted for real. */

const REPOSITORY = join(import.meta.dirname, '../..');

let dir: string;
let paths: ImagePaths;
let kernel: Kernel;
/** With the kernels and package lists of this host's cache: what is not about those need not wait for them. */
let ready: ImagePaths;
let micro: Kernel;
beforeAll(async () => {
  await run(['sh', join(REPOSITORY, 'native/build.sh')]);
  dir = await mkdtemp(join(tmpdir(), 'skerry-images-'));
  paths = {
    cacheDir: join(dir, 'cache'),
    imagesDir: join(dir, 'images'),
    guestDir: join(REPOSITORY, 'guest'),
    agentBinary: join(REPOSITORY, 'native/build/agent'),
  };
  expect(await findKernel(paths, 'distro')).toBeUndefined();
  kernel = await buildKernel(paths, 'distro');
  ready = { ...paths, cacheDir: hostPaths(process.env, process.getuid?.() ?? 0).cacheDir };
  micro = await buildKernel(ready, 'micro');
});
afterAll(() => rm(dir, { recursive: true, force: true }));

const leftovers = async (): Promise<string[]> =>
  (await readdir(paths.imagesDir)).filter((name) => name.startsWith('.work') || name.startsWith('.trash'));

/** What says who a machine is: links, unless the recipe has a file of its own there. */
const NAMES = ['hostname', 'hosts', 'machine-id', 'resolv.conf'];
const linksOf = (names: readonly string[]): string => names.map((name) => `/run/skerry/${name}\n`).join('');
const READ_LINKS = `cd /etc; for name in ${NAMES.join(' ')}; do readlink $name || stat -c %F $name; done`;
const IDENTITY = { hostname: 'isle', machineId: '5'.repeat(32), dns: ['192.0.2.53'] };
const HOSTS = '127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n127.0.1.1 isle\n';

test('the micro image boots on the distribution’s kernel, from its disk and without one', async () => {
  const image = await buildMicro(paths, { format: 'qcow2' });
  expect(image.sizeBytes).toBeLessThanOrEqual(10 * 2 ** 20);
  expect(image.rootDisk.virtualSizeBytes).toBe(512 * 2 ** 20);
  expect(await leftovers()).toEqual([]);

  // Images are backing files: the guest writes to an overlay of its own.
  const overlay = join(dir, 'overlay.qcow2');
  await run(['qemu-img', 'create', '-q', '-f', 'qcow2', '-F', 'qcow2', '-b', image.rootDiskPath, overlay]);
  const { path: initrdPath } = await buildInitrd(paths, kernel);
  {
    await using guest = await bootGuest({
      kernel,
      initrdPath,
      memoryMib: kernel.minMemoryMib,
      disk: { path: overlay, format: 'qcow2' },
    });
    expect(guest.agent.hello.kernel).toBe(kernel.release);
    expect(await guest.sh('. /etc/os-release && echo $NAME')).toBe('Skerry micro\n');
    expect(await guest.sh('grep " / " /proc/mounts | tail -n 1')).toMatch(/\/dev\/vda|\/dev\/root/);
    expect(await guest.sh('stat -c %u:%g:%a /etc/shadow /bin/busybox /usr/sbin/adduser /tmp | tr "\\n" " "')).toBe(
      '0:0:600 0:0:755 0:0:755 0:0:1777 ',
    );
    expect(await guest.sh('for dir in bin sbin lib lib64; do readlink /$dir; done | tr "\\n" " "')).toBe(
      'usr/bin usr/sbin usr/lib usr/lib64 ',
    );
    expect(await guest.sh(READ_LINKS)).toBe(linksOf(NAMES));
    expect(await guest.sh('cd /etc; cat hostname hosts machine-id resolv.conf')).toBe('');
    await guest.agent.identify(IDENTITY);
    expect(await guest.sh(READ_LINKS)).toBe(linksOf(NAMES));
    expect(await guest.sh('hostname; cd /etc; cat hostname hosts machine-id resolv.conf')).toBe(
      `isle\nisle\n${HOSTS}${IDENTITY.machineId}\nnameserver 192.0.2.53\n`,
    );
    await guest.powerOff();
  }
  const { path: disklessPath } = await buildInitrd(paths, kernel, { diskless: true });
  await using guest = await bootGuest({ kernel, initrdPath: disklessPath, memoryMib: 192 });
  expect(await guest.sh('. /etc/os-release && echo $NAME')).toBe('Skerry micro\n');
});

test('a recipe’s packages, files and commands are in its image', async () => {
  const recipe = ImageRecipe.parse({
    name: 'tools',
    packages: ['tree'],
    files: [{ path: '/bin/from-recipe', contentBase64: btoa('#!/bin/sh\necho hello $WHO\n'), mode: 0o755 }],
    env: { WHO: 'world' },
    run: ['adduser -S -D -H worker', 'from-recipe > /etc/greeting', 'chown worker /etc/greeting'],
    sizeMib: 128,
  });
  expect(await findBuilt(paths, recipe)).toBeUndefined();
  const progress: string[] = [];
  const options = { bootBuilder: bootForRecipe, onProgress: (message: string) => void progress.push(message) };
  // Asked for twice at once, built once.
  const [image, same] = await Promise.all([buildRecipe(paths, recipe, options), buildRecipe(paths, recipe, options)]);
  expect(same.digest).toBe(image.digest);
  expect(progress.filter((message) => message === 'Making the root disk')).toHaveLength(1);
  expect(progress).toContain('Running command 1 of 3: adduser -S -D -H worker');
  expect((await findBuilt(paths, recipe))?.digest).toBe(image.digest);
  expect(image.packages).toHaveProperty('tree');
  expect(image.packages).toHaveProperty('libc6');
  expect(image.env).toEqual({ WHO: 'world' });

  const overlay = join(dir, 'tools.qcow2');
  await run(['qemu-img', 'create', '-q', '-f', 'qcow2', '-F', 'qcow2', '-b', image.rootDiskPath, overlay]);
  const { path: initrdPath } = await buildInitrd(paths, kernel);
  await using guest = await bootGuest({ kernel, initrdPath, memoryMib: 128, disk: { path: overlay, format: 'qcow2' } });
  expect(await guest.sh('tree --version')).toMatch(/^tree v/);
  expect(await guest.sh('cat /etc/greeting')).toBe('hello world\n');
  expect(await guest.sh('stat -c %U /etc/greeting')).toBe('worker\n');
  expect(await guest.sh('ls /usr/share/doc/tree')).toBe('copyright\n');
});

test('a recipe’s own hosts file stays; its commands write through no link into the image, nor into this host', async () => {
  const own = '192.0.2.7 fixed\n';
  const recipe = ImageRecipe.parse({
    name: 'own-hosts',
    packages: ['libc-bin'],
    files: [{ path: '/etc/hosts', contentBase64: btoa(own) }],
    run: ['cp /etc/hosts /root/seen', 'echo built >/etc/machine-id', 'rm /etc/resolv.conf', 'echo x >/etc/resolv.conf'],
    sizeMib: 128,
  });
  const image = await buildRecipe(ready, recipe, { bootBuilder: bootForRecipe });
  for (const name of NAMES) {
    await expect(stat(join('/run/skerry', name))).rejects.toMatchObject({ code: 'ENOENT' });
  }
  const overlay = join(dir, 'own-hosts.qcow2');
  await run(['qemu-img', 'create', '-q', '-f', 'qcow2', '-F', 'qcow2', '-b', image.rootDiskPath, overlay]);
  const { path: initrdPath } = await buildInitrd(ready, micro);
  await using guest = await bootGuest({
    kernel: micro,
    initrdPath,
    memoryMib: 128,
    disk: { path: overlay, format: 'qcow2' },
  });
  const [hostname, machineId] = linksOf(['hostname', 'machine-id']).split(/(?<=\n)/);
  const links = `${hostname}regular file\n${machineId}regular file\n`;
  expect(await guest.sh(READ_LINKS)).toBe(links);
  expect(await guest.sh('cat /root/seen /etc/hosts /etc/resolv.conf /etc/machine-id')).toBe(`${own}${own}x\n`);
  // Where there is no link the agent writes the file itself, and glibc reads either.
  await guest.agent.identify(IDENTITY);
  expect(await guest.sh(READ_LINKS)).toBe(links);
  expect(await guest.sh('cat /etc/hostname /etc/hosts /etc/resolv.conf')).toBe(`isle\n${HOSTS}nameserver 192.0.2.53\n`);
  expect(await guest.sh('/usr/bin/getent hosts isle')).toMatch(/^127\.0\.1\.1 +isle\n$/);
});

test('a command that fails ends the build with its output, and leaves nothing', async () => {
  const recipe = ImageRecipe.parse({ name: 'bad', run: ['true', 'echo this is why >&2; exit 3'], sizeMib: 64 });
  const before = (await openCatalogue(paths.imagesDir).list()).length;
  const error: SkerryError = await buildRecipe(ready, recipe, { bootBuilder: bootForRecipe }).then(
    () => expect.unreachable(),
    (reason: SkerryError) => reason,
  );
  expect(error).toMatchObject({ code: 'failed', details: { exitCode: 3, line: 'echo this is why >&2; exit 3' } });
  expect(error.message).toContain('this is why');
  expect(await openCatalogue(paths.imagesDir).list()).toHaveLength(before);
  expect(await leftovers()).toEqual([]);
});

test('a build that is cancelled leaves nothing', async () => {
  const recipe = ImageRecipe.parse({ name: 'cancelled', packages: ['nginx'], sizeMib: 128 });
  const controller = new AbortController();
  const build = buildRecipe(ready, recipe, {
    signal: controller.signal,
    onProgress: (message) => {
      if (message.startsWith('Unpacking packages (3')) controller.abort();
    },
  });
  await expect(build).rejects.toMatchObject({ code: 'cancelled' });
  expect(await leftovers()).toEqual([]);
  expect(await openCatalogue(paths.imagesDir).find('cancelled')).toBeUndefined();
});

test('what can not be built is refused with the remedy', async () => {
  const unknown = ImageRecipe.parse({ name: 'unknown', packages: ['no-such-package-here'] });
  await expect(buildRecipe(paths, unknown)).rejects.toMatchObject({
    code: 'not-found',
    message: 'No such package: no-such-package-here',
  });
  const small = ImageRecipe.parse({ name: 'small', packages: ['nginx'], sizeMib: 16 });
  await expect(buildRecipe(ready, small)).rejects.toMatchObject({
    code: 'invalid',
    remedy: expect.stringContaining('size: ') as string,
  });
  const commands = ImageRecipe.parse({ name: 'commands', run: ['true'] });
  await expect(buildRecipe(ready, commands)).rejects.toMatchObject({ code: 'unsupported' });
  const agentless = { ...ready, agentBinary: join(dir, 'none') };
  await expect(buildInitrd(agentless, micro)).rejects.toMatchObject({ code: 'not-found' });
  expect(await leftovers()).toEqual([]);
});

test('a raw image is a plain file system image, as sparse as it can be', async () => {
  const image = await buildMicro(ready, { format: 'raw', name: 'micro-raw', sizeMib: 64 });
  expect((await stat(image.rootDiskPath)).size).toBe(64 * 2 ** 20);
  expect(image.sizeBytes).toBeLessThanOrEqual(10 * 2 ** 20);
  await run(['e2fsck', '-f', '-n', image.rootDiskPath]);
});
