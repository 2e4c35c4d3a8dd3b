import { finished } from 'node:stream/promises';
import { SkerryError } from '@skerry/api/base';
import type { Tunnel } from '@skerry/sdk';
import type { Command } from '../grammar/index.ts';
import type { Context } from '../terminal/index.ts';
import { untilInterrupted } from './follow.ts';
import { ownKey, rememberHost } from './ssh/files.ts';
import { vmOf } from './ssh/hosts.ts';
import { sshDir } from './ssh/setting.ts';

export const connectCommand: Command = {
  group: 'vm',
  verb: 'connect',
  positionals: [{ name: 'to', value: 'VM:PORT', summary: 'a TCP port in a VM; VM:ssh is its ssh server' }],
  options: [{ name: 'user', short: 'l', value: 'NAME', summary: 'of VM:ssh: who logs in; default: root' }],
  summary: 'Standard input and output as a connection to a port in a VM',
  description:
    'It needs no network: as the ProxyCommand of ssh (`skerry ssh-config`), VM:ssh also writes down the host key.',
  examples: ['skerry connect web-vm:80 < request', 'skerry connect web-vm:ssh'],
  async run(context, args) {
    const tunnel = await open(context, args.required('to'), args.text('user'));
    return await untilInterrupted(context, () => join(tunnel, context.signal));
  },
};

async function open(context: Context, to: string, user: string | undefined): Promise<Tunnel> {
  const at = to.lastIndexOf(':');
  const [host, port] = [to.slice(0, Math.max(at, 0)), to.slice(at + 1)];
  const isSsh = port === 'ssh';
  if (host === '' || (!isSsh && !(/^\d{1,5}$/.test(port) && Number(port) >= 1 && Number(port) <= 65_535))) {
    throw new SkerryError('invalid', `'${to}' names no port of a VM`, { remedy: 'Write web-vm:80, or web-vm:ssh.' });
  }
  const client = await context.client();
  if (!isSsh) return await client.connectTo(vmOf(host), { to: 'port', port: Number(port) }, context.signal);
  const { publicKey } = await ownKey(sshDir());
  const tunnel = await client.connectTo(vmOf(host), { to: 'ssh', user, publicKey }, context.signal);
  // Before ssh has seen a byte of the server's, and so before it looks for the key.
  await rememberHost(sshDir(), host, tunnel.hostKeys);
  return tunnel;
}

/** Until both directions have ended (whoever reads ours sees the guest's end then); on a terminal, until the guest has. */
async function join({ stream }: Tunnel, signal: AbortSignal): Promise<void> {
  signal.addEventListener('abort', () => stream.destroy(), { once: true });
  const sent = finished(stream, { readable: false });
  const received = finished(stream, { writable: false });
  sent.catch(() => undefined);
  process.stdin.pipe(stream);
  stream.pipe(process.stdout, { end: false });
  await received;
  if (!process.stdin.isTTY) await sent;
}
