import { randomBytes } from 'node:crypto';
import type { Command, Option } from '../grammar/index.ts';
import type { Context } from '../terminal/index.ts';
import type { Args } from '../grammar/index.ts';
import { SkerryError } from '@skerry/api/base';
import { doTask } from './do-task.ts';
import { type GuestProcessOptions, runInGuest } from './guest-process.ts';
import { createBody } from './vm-create.ts';
import { IMAGE, VM, VM_OPTIONS } from './vm-parameters.ts';

const PROCESS_OPTIONS: readonly Option[] = [
  { name: 'tty', short: 't', summary: 'run it on a terminal' },
  { name: 'interactive', short: 'i', summary: 'pass standard input, as is done anyway' },
  { name: 'no-stdin', short: 'n', summary: 'leave standard input alone, as in a `while read` loop' },
  { name: 'cwd', short: 'w', value: 'PATH', summary: 'the directory it runs in' },
  { name: 'user', short: 'u', value: 'NAME', summary: "the guest's user it runs as; default: root" },
];
const ENV: Option = {
  name: 'env',
  short: 'e',
  value: 'KEY=VALUE',
  many: true,
  summary: 'an environment variable for it',
};

/** What `run` runs is deleted with its VM, so Ctrl-C need not wait for it for long. */
const RUN_GRACE_MS = 2_000;

/** A login shell: bash where the image has it. */
const LOGIN_SHELL = ['/bin/sh', '-c', 'command -v bash >/dev/null 2>&1 && exec bash -l; exec /bin/sh -l'] as const;

export const execCommand: Command = {
  group: 'vm',
  verb: 'exec',
  positionals: [VM],
  options: [...PROCESS_OPTIONS, ENV],
  passthrough: { required: true, summary: 'the command and its arguments, as they are: no shell reads them' },
  summary: 'Run a command in a VM; its output, and its exit code, are ours',
  examples: [
    "skerry exec web-vm -- sh -c 'echo hi >&2; exit 3'",
    'skerry exec shop/web -- hostname',
    'tar c . | skerry exec web-vm -- tar x -C /srv',
  ],
  async run(context, args) {
    const options = processOptions(context, args, args.flag('tty'), createBody(args, NO_VM).env ?? {});
    return (await runInGuest(context, args.required('vm'), args.rest, options)).exitCode;
  },
};

export const shellCommand: Command = {
  group: 'vm',
  verb: 'shell',
  positionals: [VM],
  options: [...PROCESS_OPTIONS.filter(({ name }) => name === 'user' || name === 'cwd'), ENV],
  summary: 'A shell in a VM, on this terminal',
  examples: ['skerry shell web-vm', 'skerry shell shop/web --user www-data'],
  async run(context, args) {
    const options = processOptions(context, args, isTerminal(), createBody(args, NO_VM).env ?? {});
    return (await runInGuest(context, args.required('vm'), LOGIN_SHELL, options)).exitCode;
  },
};

export const runCommand: Command = {
  group: 'vm',
  verb: 'run',
  positionals: [IMAGE],
  options: [
    { name: 'name', aliases: ['vm'], value: 'NAME', summary: 'its name while it lives; default: run- and six letters' },
    ...VM_OPTIONS,
    ...PROCESS_OPTIONS,
  ],
  passthrough: { required: false, summary: 'the command; without one, a shell' },
  summary: 'Make a VM, start it, run a command in it, delete it',
  examples: ['skerry run micro -- uname -a', 'skerry run micro', 'echo 1+1 | skerry run micro -- bc'],
  async run(context, args) {
    const name = args.text('name') ?? `run-${randomBytes(3).toString('hex')}`;
    if (context.noWait) {
      throw new SkerryError('invalid', 'run waits for the command it runs', {
        remedy: 'Use `skerry create ... --start --no-wait`.',
      });
    }
    const body = createBody(args, { name, start: true, ephemeral: true });
    const created = await doTask(context, name, 'vm.create', { body });
    if (created === undefined) return;
    try {
      context.signal.throwIfAborted();
      const interactive = args.rest.length === 0;
      const tty = args.flag('tty') || isTerminal();
      const options = { ...processOptions(context, args, tty, {}), graceMs: RUN_GRACE_MS };
      return (await runInGuest(context, created.id, interactive ? LOGIN_SHELL : args.rest, options)).exitCode;
    } finally {
      const client = await context.client();
      await client.run('vm.delete', { params: { vm: created.id }, query: { force: true } });
    }
  },
};

const NO_VM = { name: '', start: false, ephemeral: false } as const;

function processOptions(context: Context, args: Args, tty: boolean, env: Record<string, string>): GuestProcessOptions {
  return {
    tty,
    stdin: !args.flag('no-stdin'),
    env,
    cwd: args.text('cwd'),
    user: args.text('user'),
    timeoutMs: context.timeoutMs,
  };
}

function isTerminal(): boolean {
  return process.stdin.isTTY && process.stdout.isTTY;
}
