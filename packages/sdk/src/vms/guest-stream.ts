import type { Duplex } from 'node:stream';

/** A stream into a guest. */
export interface Tunnel {
  /** Each direction ends by itself; destroying it resets the connection in the guest. */
  readonly stream: Duplex;
  /** Of an ssh server: `ssh-ed25519 AAAA...` */
  readonly hostKeys: readonly string[];
}
