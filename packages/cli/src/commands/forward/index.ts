import { SkerryError } from '@skerry/api/base';
import type { Command } from '../../grammar/index.ts';
import { untilInterrupted } from '../follow.ts';
import { VM } from '../vm-parameters.ts';
import { listenFor, type Listener } from './listen.ts';
import { parsePair, shownAddress } from './ports.ts';

export const forwardCommand: Command = {
  group: 'vm',
  verb: 'forward',
  positionals: [
    VM,
    { name: 'ports', value: '[ADDRESS:]PORT:PORT', many: true, summary: "this machine's port (0: any), then the VM's" },
  ],
  summary: 'Lead TCP ports of this machine into a VM, until Ctrl-C',
  description: 'For as long as this command runs; `skerry create --forward` is for as long as the VM does.',
  examples: [
    'skerry forward web-vm 8080:80',
    'skerry forward shop/web 8080:80 8443:443',
    'skerry forward web-vm 0.0.0.0:0:80',
  ],
  async run(context, args) {
    const pairs = args.texts('ports').map(parsePair);
    const client = await context.client();
    const vm = await client.vm(args.required('vm'));
    const { state } = (await vm.info()).status;
    if (state !== 'running') {
      throw new SkerryError('wrong-state', `${vm.name} is ${state}, not running`, {
        remedy: `Type \`skerry ${state === 'paused' ? 'resume' : 'start'} ${vm.name}\`.`,
      });
    }
    let told = '';
    const tell = ({ code, message, remedy }: SkerryError): void => {
      if (code === 'cancelled' || message === told) return;
      // Once: a browser tries again and again.
      told = message;
      context.out.note(`note: ${message}${remedy === undefined ? '' : `\n  ${remedy}`}`);
    };
    const listeners: Listener[] = [];
    using open = new DisposableStack();
    for (const pair of pairs) {
      listeners.push(open.use(await listenFor(pair, (port) => vm.connect(port, { signal: context.signal }), tell)));
    }
    await context.out.result(
      listeners.map(({ pair }) => ({ ...pair, vm: vm.name })),
      () =>
        listeners.map(({ pair }) => `${shownAddress(pair.hostAddress, pair.hostPort)} -> ${vm.name}:${pair.guestPort}`),
    );
    if (context.out.isForPeople) context.out.note('Ctrl-C ends it.');
    return await untilInterrupted(context, () => aborted(context.signal));
  },
};

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
