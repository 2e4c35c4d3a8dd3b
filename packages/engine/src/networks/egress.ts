import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { EGRESS_UID, type JailHost, type JailSpec } from '../hypervisors/index.ts';
import { slirpDnsOf } from './addresses.ts';
import { KeptJails, type KeptSpec } from './kept-jails.ts';

/**
 * The way out of a network without any rights: a QEMU that has no machine, only a hub between its user network (slirp)
 * and a socket that the switch connects to. One process a network, about 32 MiB; it outlives the daemon.
 */

export interface EgressNetwork {
  readonly id: string;
  readonly subnet: string;
  readonly gateway: string;
  readonly ipv6?: { readonly subnet: string; readonly gateway: string } | undefined;
}

/** `{s}` is replaced by the descriptor of the listening socket. */
export function egressArgv(network: EgressNetwork, binary = 'qemu-system-x86_64'): [string, ...string[]] {
  const user = `user,id=u,net=${network.subnet},host=${network.gateway},dns=${slirpDnsOf(network.subnet)},${ipv6Of(network)}`;
  return [
    binary,
    ...['-M', 'none', '-nodefaults', '-no-user-config', '-display', 'none'],
    ...['-sandbox', 'on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny'],
    ...['-netdev', user],
    ...['-netdev', 'stream,id=s,server=on,addr.type=fd,addr.str={s}'],
    ...['-netdev', 'hubport,id=hu,hubid=0,netdev=u', '-netdev', 'hubport,id=hs,hubid=0,netdev=s'],
  ];
}

/** All of its prefix are aliases of slirp's, the host's loopback among them: the switch lets nobody there. */
function ipv6Of({ ipv6 }: EgressNetwork): string {
  if (ipv6 === undefined) return 'ipv6=off';
  const [prefix, bits] = ipv6.subnet.split('/');
  return `ipv4=on,ipv6=on,ipv6-prefix=${prefix},ipv6-prefixlen=${bits},ipv6-host=${ipv6.gateway}`;
}

export interface EgressOptions {
  readonly runtimeDir: string;
  readonly jail: JailHost;
  readonly qemuBinary?: string | undefined;
  /** Default for root: the last uid of the range of VMs; for others: their own. */
  readonly owner?: JailSpec['owner'];
  readonly log?: ((line: string) => void) | undefined;
}

const LOG_BYTES = 64 * 1024;

export class EgressService {
  readonly #options: EgressOptions;
  readonly #jails: KeptJails;

  constructor(options: EgressOptions) {
    const { runtimeDir, jail, log } = options;
    this.#options = options;
    this.#jails = new KeptJails({ root: join(runtimeDir, 'egress'), title: (name) => `egress ${name}`, jail, log });
  }

  socketPath(network: EgressNetwork): string {
    return join(this.#jails.dir(nameOf(network)), 's');
  }

  /**
   * Starts or adopts one process for each of these networks, ends all others, and starts again what dies.
   * @throws SkerryError of `launchJail`
   */
  sync(networks: readonly EgressNetwork[]): Promise<void> {
    return this.#jails.sync(new Map(networks.map((network) => [nameOf(network), this.#spec(network)])));
  }

  /** Stops watching; the processes go on for the next daemon. */
  close(): Promise<void> {
    return this.#jails.close();
  }

  #spec(network: EgressNetwork): KeptSpec {
    const dir = this.#jails.dir(nameOf(network));
    const owner = this.#options.owner ?? defaultOwner();
    return {
      command: egressArgv(network, this.#options.qemuBinary),
      ...(owner === undefined ? {} : { owner }),
      listen: { s: join(dir, 's') },
      log: { path: join(dir, 'log'), capBytes: LOG_BYTES },
    };
  }
}

/** Another subnet is another process: slirp can not be told a new one. */
function nameOf({ id, subnet, gateway, ipv6 }: EgressNetwork): string {
  const all = [id, subnet, gateway, ...(ipv6 === undefined ? [] : [ipv6.subnet, ipv6.gateway])];
  return createHash('sha256').update(all.join(' ')).digest('hex').slice(0, 12);
}

function defaultOwner(): JailSpec['owner'] {
  if (process.getuid?.() !== 0) return undefined;
  const uid = EGRESS_UID;
  return { uid, gid: uid };
}
