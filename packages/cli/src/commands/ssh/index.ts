import { mkdir } from 'node:fs/promises';
import { userInfo } from 'node:os';
import { dirname, join } from 'node:path';
import { SkerryError } from '@skerry/api/base';
import type { Command } from '../../grammar/index.ts';
import type { Context } from '../../terminal/index.ts';
import { VM } from '../vm-parameters.ts';
import { runSsh } from './client.ts';
import { putFirst, replaceFile } from './files.ts';
import { hostOf } from './hosts.ts';
import { sshConfig, sshOptions } from './options.ts';
import { sshDir, sshPaths } from './setting.ts';

const SERVER = '/usr/sbin/dropbear';

const sshCommand: Command = {
  group: 'vm',
  verb: 'ssh',
  positionals: [VM],
  options: [
    { name: 'user', short: 'l', value: 'NAME', summary: "the guest's user; default: root" },
    { name: 'tty', short: 't', summary: 'give the command a terminal' },
  ],
  passthrough: { required: false, summary: "the command, for the user's shell in the guest; without one, a session" },
  summary: 'Log in to a VM by ssh',
  description:
    'The VM needs an ssh server: create it with --ssh, or with `ssh: true` in the recipe of its image. It needs no network.',
  examples: ['skerry ssh web-vm', 'skerry ssh web-vm -- uname -a', 'skerry ssh shop/web -l www-data'],
  async run(context, args) {
    const client = await context.client();
    const { id, name } = await client.vm(args.required('vm'));
    // ssh itself could only say that the connection was closed.
    await client.call('vm.file.stat', { params: { vm: id }, query: { path: SERVER } }).catch((error: unknown) => {
      throw SkerryError.from(error).code === 'not-found' ? noServer(name) : error;
    });
    const options = sshOptions(await sshPaths(context)).flatMap(([keyword, value]) => ['-o', `${keyword}=${value}`]);
    const terminal = args.flag('tty') ? ['-t'] : [];
    context.progress.clear();
    // Ctrl-C is for ssh, and what it runs.
    using _diverted = context.interrupts.divert(() => {});
    const destination = ['-l', args.text('user') ?? 'root', `${hostOf(name)}.skerry`];
    return await runSsh([
      ...options,
      ...terminal,
      ...destination,
      ...(args.rest.length === 0 ? [] : ['--', ...args.rest]),
    ]);
  },
};

const configCommand: Command = {
  group: 'vm',
  verb: 'ssh-config',
  positionals: [
    { ...VM, many: true, optional: true, summary: 'one or more; default: all, also those that come later' },
  ],
  options: [
    { name: 'to', value: 'FILE', summary: 'write it to a file' },
    { name: 'install', summary: 'have ~/.ssh/config include it' },
  ],
  summary: 'A configuration for ssh, so that `ssh web-vm`, scp, sftp and rsync reach VMs',
  description:
    'Then `ssh web-vm`, `scp FILE web-vm:/tmp/`, `rsync -a DIR web-vm:/srv/`; with --to, `ssh -F FILE web-vm`. A VM web of the ' +
    'node shop is web.shop; a VM that comes later is its name with .skerry. Needs OpenSSH 8.4, which can not read it from `<(...)`.',
  examples: ['skerry ssh-config --install', 'skerry ssh-config --to ./vms.ssh', 'skerry ssh-config web-vm shop/web'],
  async run(context, args) {
    const client = await context.client();
    const named = args.texts('vm');
    const vms = named.length === 0 ? await client.vms() : await Promise.all(named.map((ref) => client.vm(ref)));
    const names = vms.map(({ name }) => name).toSorted();
    const text = sshConfig(names, named.length === 0, await sshPaths(context));
    if (args.flag('install')) return await install(context, args.text('to') ?? join(sshDir(), 'config'), text);
    const to = args.text('to');
    if (to !== undefined && to !== '-') await replaceFile(to, text, 0o600);
    else await context.out.result({ hosts: names.map(hostOf), config: text }, () => text.trimEnd().split('\n'));
  },
};

async function install(context: Context, path: string, text: string): Promise<void> {
  // Not $HOME: ssh reads the home directory of the password file (ssh(1), FILES).
  const main = join(userInfo().homedir, '.ssh', 'config');
  await replaceFile(path, text, 0o600);
  await mkdir(dirname(main), { recursive: true, mode: 0o700 });
  const added = await putFirst(main, `Include ${/\s/.test(path) ? `"${path}"` : path}`);
  await context.out.result({ config: path, includedFrom: main }, () => [
    `${path}: ${added ? 'included from' : 'is included from'} ${main}`,
  ]);
}

function noServer(vm: string): SkerryError {
  return new SkerryError('unsupported', `${vm} has no ssh server`, {
    remedy: `Make VMs with one: \`skerry create NAME --ssh\`, or \`ssh: true\` in a recipe. \`skerry shell ${vm}\` and \`skerry cp\` need none.`,
  });
}

export const sshCommands: readonly Command[] = [sshCommand, configCommand];
