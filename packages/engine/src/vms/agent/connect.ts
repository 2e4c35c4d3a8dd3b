import { createConnection } from 'node:net';
import { SkerryError } from '@skerry/api';
import { Client } from './client.ts';
import { AgentConnection } from './connection.ts';
import { cancelled } from './errors.ts';
import { FRAME, PROTOCOL_NEWEST, PROTOCOL_OLDEST, TAG } from './protocol.ts';
import { TlvWriter, type Tlvs } from './tlv.ts';
import type { AgentClient, AgentHello } from './types.ts';

const DEFAULT_TIMEOUT_MS = 30_000;

/**
 * Connects to the socket of a VM's agent port and resolves once the agent has said hello: the guest may still be
 * booting. QEMU serves one connection at a time; a second one waits until the first has gone.
 * @throws SkerryError `unavailable` (no such socket, VM gone), `timeout`, `cancelled`, `unsupported` (agent too old or
 * too new), `failed` (not our agent)
 */
export function connectAgent(
  socketPath: string,
  options: { signal?: AbortSignal | undefined; timeoutMs?: number | undefined } = {},
): Promise<AgentClient> {
  const { signal, timeoutMs = DEFAULT_TIMEOUT_MS } = options;
  if (signal?.aborted === true) return Promise.reject(cancelled('connecting to the guest agent', signal.reason));
  const connection = new AgentConnection(createConnection(socketPath));
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      connection.close(
        new SkerryError('timeout', `the guest agent did not answer within ${timeoutMs} ms`, {
          remedy: 'See on its console how far the VM has come (skerry console).',
        }),
      );
    }, timeoutMs);
    const abort = (): void => connection.close(cancelled('connecting to the guest agent', signal?.reason));
    signal?.addEventListener('abort', abort, { once: true });
    const settled = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', abort);
    };
    connection.once('close', (error) => {
      settled();
      reject(error ?? cancelled('connecting to the guest agent'));
    });
    connection.once('hello', (values) => {
      const hello = agree(connection, values); // throws into the connection, which then closes
      settled();
      resolve(new Client(connection, hello));
    });
  });
}

/** Settles on a version that both know; the agent is told only if it isn't its newest. */
function agree(connection: AgentConnection, values: Tlvs): AgentHello {
  const newest = values.number(TAG.PROTOCOL);
  const oldest = values.number(TAG.OLDEST);
  const protocol = Math.min(newest, PROTOCOL_NEWEST);
  if (oldest > newest || protocol < PROTOCOL_OLDEST || protocol < oldest) {
    throw new SkerryError(
      'unsupported',
      `the guest agent speaks protocol ${oldest} to ${newest}, which is not served`,
      {
        remedy: 'Restart the VM, so that it boots with the agent of this release.',
        details: { oldest, newest, served: [PROTOCOL_OLDEST, PROTOCOL_NEWEST] },
      },
    );
  }
  if (protocol !== newest) connection.say(FRAME.HELLO, new TlvWriter().u32(TAG.PROTOCOL, protocol));
  return {
    protocol,
    version: values.string(TAG.VERSION, 64),
    bootNonce: values.string(TAG.BOOT_NONCE, 64),
    kernel: values.string(TAG.KERNEL, 256),
    startedUs: values.number(TAG.STARTED_US),
    readyUs: values.number(TAG.READY_US),
    frozen: values.has(TAG.FROZEN),
  };
}
