import { once } from 'node:events';
import { parseDurationMs, type WaitCondition } from '@skerry/api/base';
import type { Command } from '../grammar/index.ts';
import { untilInterrupted } from './follow.ts';
import { rawInput } from './guest-process.ts';
import { stateLine } from './vm-create.ts';
import { VM } from './vm-parameters.ts';

/** Ctrl-], as telnet has it. */
const DETACH = 0x1d;

export const logsCommand: Command = {
  group: 'vm',
  verb: 'logs',
  positionals: [VM],
  options: [{ name: 'follow', short: 'f', summary: 'show what comes, until Ctrl-C' }],
  summary: "What a VM's long-running command has written",
  examples: ['skerry logs web-vm', 'skerry logs shop/logs -f'],
  run: async (context, args) => {
    const client = await context.client();
    return await untilInterrupted(context, async () => {
      const logs = await client.download('vm.logs', {
        params: { vm: args.required('vm') },
        query: { follow: args.flag('follow') },
        signal: context.signal,
      });
      for await (const chunk of logs as AsyncIterable<Buffer>) {
        if (!process.stdout.write(chunk)) await once(process.stdout, 'drain');
      }
    });
  },
};

export const waitCommand: Command = {
  group: 'vm',
  verb: 'wait',
  positionals: [
    VM,
    {
      name: 'condition',
      value: 'CONDITION',
      choices: ['agent', 'healthy', 'stopped'],
      summary: 'agent, healthy or stopped',
    },
  ],
  summary: 'Wait until a VM is so; default --timeout: 30s',
  examples: ['skerry wait web-vm agent --timeout 30s', 'skerry wait shop/web healthy'],
  async run(context, args) {
    const client = await context.client();
    const vm = await client.call('vm.wait', {
      params: { vm: args.required('vm') },
      body: {
        condition: args.required('condition') as WaitCondition,
        timeoutMs: context.timeoutMs ?? parseDurationMs('30s'),
      },
      signal: context.signal,
    });
    await context.out.result(vm, () => [stateLine(vm)]);
  },
};

export const consoleCommand: Command = {
  group: 'vm',
  verb: 'console',
  positionals: [VM],
  summary: 'The serial console of a VM, with its past output',
  description: 'Ctrl-] leaves it; every other key goes to the guest.',
  examples: ['skerry console web-vm', 'skerry console web-vm < /dev/null > boot.log'],
  async run(context, args) {
    const client = await context.client();
    const vm = await client.vm(args.required('vm'));
    const terminal = process.stdin.isTTY && process.stdout.isTTY;
    if (terminal) context.out.note(`Connected to ${vm.name}. Ctrl-] leaves.`);
    using _raw = rawInput();
    return await untilInterrupted(context, async () => {
      const line = vm.console();
      context.signal.addEventListener('abort', () => line.destroy(), { once: true });
      // A pipe that ends leaves the console open: what comes is still to be shown.
      process.stdin.on('data', (keys: Buffer) => {
        const at = terminal ? keys.indexOf(DETACH) : -1;
        if (at > 0 || at === -1) line.write(at === -1 ? keys : keys.subarray(0, at));
        if (at !== -1) line.destroy();
      });
      try {
        for await (const chunk of line as AsyncIterable<Buffer>) {
          if (!process.stdout.write(chunk)) await once(process.stdout, 'drain');
        }
      } catch (error) {
        // Destroyed by us: that is how one leaves.
        if (!(error instanceof Error && 'code' in error && error.code === 'ERR_STREAM_PREMATURE_CLOSE')) throw error;
      } finally {
        process.stdin.pause();
        if (terminal) context.out.note('');
      }
    });
  },
};
