import type { Readable, Writable } from 'node:stream';
import { SkerryError } from '@skerry/api';
import type { AgentClient } from './agent/index.ts';
import { KeyedQueue } from './keyed-queue.ts';
import { hostKeyOf } from './ssh-host-key.ts';

/**
 * A session of the guest's ssh server, on a socket that only the agent has: nothing listens in the guest, so nothing has to be
 * reached by a network, and nothing goes on with the key of a machine that this one is a fork of.
 */

export interface SshSession {
  /** `ssh-ed25519 AAAA...` */
  readonly hostKeys: readonly string[];
  readonly input: Writable;
  readonly output: Readable;
  /** Resolves once the server has ended and all of its output has arrived. */
  readonly ended: Promise<unknown>;
}

export interface SshUser {
  readonly user: string;
  /** One line of authorized_keys. */
  readonly publicKey: string;
}

/** Where the distribution's package has it. */
const SERVER = '/usr/sbin/dropbear';
const LOGIN_TIMEOUT_MS = 30_000;
const MESSAGE_MAX_CHARACTERS = 200;
/** As the agent's: with the server's own, 24 KiB, a copy under emulation takes half as long again. */
const WINDOW_BYTES = 256 * 1024;

/** Runs as the user, who could have made a link of any of these. What is there stays: others may log in, too. */
const LOGIN_SCRIPT = `
set -e
umask 077
cd
mkdir -p .ssh
keys=.ssh/authorized_keys
grep -qxF -- "$1" "$keys" 2> /dev/null && exit
[ ! -s "$keys" ] || [ -z "$(tail -c 1 "$keys")" ] || echo >> "$keys"
echo "$1" >> "$keys"
`;

export class SshService {
  /** Connections to one VM at once find one host key, and put the login key in once. */
  readonly #queue = new KeyedQueue();

  /**
   * Lets a key log in, and begins a session for it.
   * @throws SkerryError `unsupported` (no server in the guest), `not-found` (no such user), `failed`, `unavailable`, `timeout`
   */
  async open(
    agent: AgentClient,
    vm: { readonly id: string; readonly name: string },
    login: SshUser,
    signal: AbortSignal,
  ): Promise<SshSession> {
    await agent.stat(SERVER, { signal }).catch((error: unknown) => {
      throw SkerryError.from(error).code === 'not-found' ? noServer(vm.name) : error;
    });
    const [hostKey] = await this.#queue.run(vm.id, () =>
      Promise.all([hostKeyOf(agent, vm.id, signal), allow(agent, vm.name, login, signal)]),
    );
    // Keys alone: nobody's password opens a VM. With the environment that commands of `exec` have.
    const argv = [SERVER, '-i', '-s', '-e', '-W', String(WINDOW_BYTES), '-r', hostKey.path];
    const server = agent.exec({ argv, socket: true }, { signal });
    server.stderr.destroy();
    return { hostKeys: [hostKey.publicKey], input: server.stdin, output: server.stdout, ended: server.exited };
  }
}

async function allow(agent: AgentClient, vm: string, { user, publicKey }: SshUser, signal: AbortSignal): Promise<void> {
  const argv = ['sh', '-c', LOGIN_SCRIPT, 'sh', publicKey];
  const child = agent.exec({ argv, user, stdin: false, timeoutMs: LOGIN_TIMEOUT_MS }, { signal });
  child.stdout.destroy();
  const [message, { exitCode }] = await Promise.all([start(child.stderr), child.exited]).catch((error: unknown) => {
    const { code, details } = SkerryError.from(error);
    throw code === 'not-found' && details?.['errno'] !== undefined ? noUser(vm, user) : error;
  });
  if (exitCode === 0) return;
  throw new SkerryError('failed', `The key for ${user} can not be put into ${vm}: ${message.split('\n')[0] ?? ''}`, {
    remedy: `See the home directory of ${user}: \`skerry shell ${vm}\`.`,
  });
}

/** Of what a guest writes; the rest is read and forgotten. */
async function start(stream: Readable): Promise<string> {
  let seen = '';
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    if (seen.length < MESSAGE_MAX_CHARACTERS) seen += chunk.toString('latin1');
  }
  return seen.slice(0, MESSAGE_MAX_CHARACTERS).replace(/[^\n -~]/g, '?');
}

function noUser(vm: string, user: string): SkerryError {
  return new SkerryError('not-found', `${vm} has no user '${user}'`, {
    remedy: `See who there is: \`skerry exec ${vm} -- cat /etc/passwd\`.`,
  });
}

function noServer(vm: string): SkerryError {
  return new SkerryError('unsupported', `${vm} has no ssh server`, {
    remedy: `Make VMs with one: \`skerry create NAME --ssh\`, or \`ssh: true\` in a recipe. \`skerry shell ${vm}\` and \`skerry cp\` need none.`,
  });
}
