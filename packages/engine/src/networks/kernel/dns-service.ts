import { chmod, mkdir, readFile, readdir, rename, rm, rmdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { JailHost } from '../../hypervisors/index.ts';
import { KeptJails, type KeptSpec } from '../kept-jails.ts';
import type { DnsServer } from './kernel-model.ts';
import { hash } from './names-model.ts';
import { within } from './place-commands.ts';

/**
 * A dnsmasq per network, which outlives us. It gives up its rights (and becomes nobody) once it has its sockets, so what it reads
 * again is where everybody may look: names and addresses of guests, in /run/skerry-dnsmasq.
 */

const FILES = '/run/skerry-dnsmasq';
const LOG_BYTES = 64 * 1024;

export interface DnsServiceOptions {
  /** Of the kernel datapath's own files. */
  readonly dir: string;
  readonly tag: string;
  readonly jail: JailHost;
  readonly log?: ((line: string) => void) | undefined;
}

export class DnsService {
  readonly #jails: KeptJails;
  readonly #files: string;

  constructor({ dir, tag, jail, log }: DnsServiceOptions) {
    this.#files = join(FILES, tag);
    this.#jails = new KeptJails({ root: join(dir, 'dns'), title: (name) => `dnsmasq ${name}`, jail, log });
  }

  /** @throws SkerryError of `launchJail` */
  async sync(servers: readonly DnsServer[]): Promise<void> {
    const dirs = new Map(servers.map((server) => [dirOf(server), server]));
    const changed: DnsServer[] = [];
    for (const [name, server] of dirs) if (await this.#writeFiles(name, server)) changed.push(server);
    const wanted = new Map(servers.map((server) => [nameOf(server), this.#spec(nameOf(server), server)]));
    await this.#jails.sync(wanted);
    await Promise.all(changed.map((server) => this.#jails.hangUp(nameOf(server))));
    for (const name of await readdir(this.#files).catch(() => []))
      if (!dirs.has(name)) await rm(join(this.#files, name), { recursive: true, force: true });
    if (servers.length > 0) return;
    await rm(this.#files, { recursive: true, force: true });
    // Unless another instance has something there.
    await rmdir(FILES).catch(() => undefined);
  }

  /** Those of a namespace that was made anew: they are in the one before. */
  async restart(servers: readonly DnsServer[]): Promise<void> {
    await Promise.all(servers.map((server) => this.#jails.restart(nameOf(server))));
  }

  /** What dnsmasq has written of who asked it for an address; empty without one. */
  async leases(networkId: string): Promise<string> {
    return await readFile(join(this.#files, hash(networkId), 'leases'), 'utf8').catch(() => '');
  }

  close(): Promise<void> {
    return this.#jails.close();
  }

  /** @returns whether anything is new to one that runs */
  async #writeFiles(name: string, { hosts, dhcpHosts }: DnsServer): Promise<boolean> {
    const dir = join(this.#files, name);
    await mkdir(dir, { recursive: true });
    // Whatever our umask is: it is nobody who reads them.
    for (const each of [FILES, this.#files, dir]) await chmod(each, 0o755);
    let isNew = false;
    for (const [file, text] of [
      ['hosts', hosts],
      ['dhcp-hosts', dhcpHosts],
    ] as const) {
      const path = join(dir, file);
      if ((await readFile(path, 'utf8').catch(() => undefined)) === text) continue;
      isNew = true;
      await writeFile(`${path}.new`, text);
      await chmod(`${path}.new`, 0o644);
      await rename(`${path}.new`, path);
    }
    return isNew;
  }

  #spec(name: string, server: DnsServer): KeptSpec {
    const { netns, args } = server;
    const dir = join(this.#files, dirOf(server));
    const [command = 'dnsmasq', ...rest] = [
      ...within(netns),
      'dnsmasq',
      ...args.map((argument) => argument.replaceAll('{dir}', dir)),
    ];
    return { command: [command, ...rest], log: { path: join(this.#jails.dir(name), 'log'), capBytes: LOG_BYTES } };
  }
}

/** Another command line is another process. */
function nameOf({ networkId, view, netns, args }: DnsServer): string {
  return hash(JSON.stringify([networkId, ...(view === undefined ? [] : [view]), netns, args]));
}

/** Of its files. */
function dirOf({ networkId, view }: DnsServer): string {
  return hash(view === undefined ? networkId : `${networkId} ${view}`);
}
