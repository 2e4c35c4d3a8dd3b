import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startTestHost, type TestHost } from '@skerry/testkit';
import { nativePath } from '../../packages/engine/src/hosts/index.ts';
import { apparmorProfile, serverProfile } from '../../packages/engine/src/hypervisors/policies/index.ts';

/**
 * A VM's profile in a kernel that has AppArmor: that of a guest, as the distribution's kernel has it and this host may not. vmjail
 * starts a shell under it, as root, so that nothing but the profile can be what says no.
 */

const DIR = '/data/vms/one';
const PROFILE = apparmorProfile({
  name: 'skerry-vm-one',
  spec: {
    open: { disk0: { path: `${DIR}/disk.qcow2`, mode: 'rw' } },
    share: {
      docs: { path: '/srv/docs', readonly: true },
      work: { path: '/srv/work', readonly: false },
    },
  },
  usesKvm: false,
  // Both are bound there from elsewhere; of `work` the profile is told.
  sharePaths: [{ path: '/data/work', readonly: false }],
});
const SERVER_PROFILE = serverProfile('skerry-vm-one', '/usr/lib/busybox', false);

const PREPARE = `
mount -t securityfs securityfs /sys/kernel/security
mkdir -p ${DIR} /mnt /data/vms/two /data/docs /data/work /srv/docs /srv/work
for name in docs work; do echo $name >/data/$name/old; mount --bind /data/$name /srv/$name; done
echo mine >${DIR}/disk.qcow2; echo theirs >/data/vms/two/disk.qcow2
cp $(readlink -f /bin/busybox) /usr/lib/busybox
apparmor_parser --replace --skip-cache /root/profile
grep skerry /sys/kernel/security/apparmor/profiles`;

/** All by the shell itself: it may start nothing. */
const INSIDE = `
read line <&{disk0}; echo "handed $line"
read line </data/vms/one/disk.qcow2; echo "opened $line"
echo more >>/data/vms/one/disk.qcow2 && echo "written"
line=; read line </data/vms/two/disk.qcow2; echo "other opened [$line]"
line=; read line </etc/passwd; echo "host file [$line]"
/bin/busybox true; echo "program $?"`;

let host: TestHost;
beforeAll(async () => {
  host = await startTestHost();
  const file = (path: string, content: Buffer, mode: number) => ({
    path,
    contentBase64: content.toString('base64'),
    mode,
  });
  const target = {
    name: 'with-apparmor',
    packages: ['apparmor'],
    files: [
      file('/root/vmjail', await readFile(nativePath('vmjail')), 0o755),
      file('/root/profile', Buffer.from(PROFILE + SERVER_PROFILE), 0o644),
    ],
  };
  await host.client.run('image.build', { body: { target } });
  const { id } = await host.client.run('vm.create', {
    body: { name: 'guest', image: 'with-apparmor', kernel: 'distro', memoryMib: 256, cold: true },
  });
  await host.client.run('vm.start', { params: { vm: id } });
});
afterAll(() => host[Symbol.asyncDispose]());

const sh = async (line: string, ...args: string[]): Promise<string> => {
  const { stdout, stderr } = await host.cli(['exec', 'guest', '--', 'sh', '-c', line, 'sh', ...args]);
  return stdout + stderr;
};

/** Ends when the process has: vmjail itself goes on behind. */
const jailed = (policy: string, command: string, ...args: string[]): Promise<string> =>
  sh(
    `rm -f ${DIR}/exit.json /root/log
/root/vmjail --dir ${DIR} ${policy} --open disk0=${DIR}/disk.qcow2:rw \\
  --log /root/log:65536 -- /usr/lib/busybox ${command} "$@" || exit
until [ -f ${DIR}/exit.json ]; do sleep 0.1; done
cat /root/log`,
    ...args,
  );

test('the profile holds: its own files, and no other, no program, no network', async () => {
  expect((await sh(PREPARE)).trim().split('\n').at(-1)).toMatch(/^skerry-vm-one/);
  const inside = await jailed('--apparmor skerry-vm-one', 'sh -c', INSIDE);
  expect(inside).toContain('handed mine');
  expect(inside).toContain('opened mine');
  expect(inside).toContain('written');
  expect(inside).toContain('other opened []');
  expect(inside).toContain('host file []');
  expect(inside).toContain('program 126');
  expect(await jailed('--apparmor skerry-vm-one', 'nc', '-w', '1', '127.0.0.1', '9')).toContain('Permission denied');

  // A shared directory is a mount that is nowhere: only its name in its own file system counts.
  const share = '--apparmor skerry-vm-one --uid 720001 --gid 720001 --share';
  const use = 'cd /proc/self/fd/{it} && read line <old; echo "read $line"; echo new >new && echo "made"';
  expect(await jailed(`${share} it=/srv/work:rw`, 'sh -c', use)).toMatch(/read work\nmade/);
  expect(await jailed(`${share} it=/srv/docs:rw`, 'sh -c', use)).not.toMatch(/read docs|made/);

  // What serves a directory has it, and starts no program.
  const serve = 'read line </mnt/old; echo "served $line"; /bin/busybox true; echo "program $?"; while :; do :; done';
  const server = ['/usr/lib/busybox', 'sh', '-c', `'${serve}'`].map((word) => `--server ${word}`).join(' ');
  const both = `--served it=/srv/work:rw ${server} --uid 720001 --gid 720001`;
  const confined = await jailed(`${both} --server-apparmor skerry-vm-one-server`, 'sleep', '1');
  expect(confined).toContain('served work');
  expect(confined).toContain('program 126');
  expect(await jailed(both, 'sleep', '1')).toContain('program 0');

  // Without it, all of that is there for root to reach.
  const outside = await jailed('', 'sh -c', INSIDE);
  expect(outside).toContain('other opened [theirs]');
  expect(outside).toMatch(/host file \[root:/);
  expect(outside).toContain('program 0');
});
