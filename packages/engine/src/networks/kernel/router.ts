import { readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { readJson } from './place-commands.ts';

/**
 * Whether this host passes packets on. It is made to for a network that leads out, and is what it was before afterwards,
 * unless somebody else has come to need it (Docker, libvirt): what it was is in a file, for the next daemon.
 */

const IPV4 = '/proc/sys/net/ipv4/ip_forward';
const IPV6 = '/proc/sys/net/ipv6/conf/all/forwarding';

interface Before {
  readonly version: 1;
  readonly ipv4: string;
  readonly ipv6: string;
}

export class Router {
  readonly #path: string;

  /** @param dir of the kernel datapath's own files; it exists before anything is changed */
  constructor(dir: string) {
    this.#path = join(dir, 'router.json');
  }

  /** Without us. */
  async wasRouter(): Promise<boolean> {
    return ((await this.#before()) ?? (await read())).ipv4 === '1';
  }

  /** @param ipv6 too */
  async enable(ipv6: boolean): Promise<void> {
    const now = await read();
    if (now.ipv4 === '1' && (!ipv6 || now.ipv6 === '1')) return;
    if ((await this.#before()) === undefined) await writeFile(this.#path, JSON.stringify(now), { mode: 0o600 });
    if (now.ipv4 !== '1') await writeFile(IPV4, '1');
    if (ipv6 && now.ipv6 !== '1') {
      await keepAdvertised();
      await writeFile(IPV6, '1');
    }
  }

  /** After all of ours has gone. A bridge that is there then is another's, who found the host a router and relies on it. */
  async restore(): Promise<void> {
    const before = await this.#before();
    if (before === undefined) return;
    const now = await read();
    const isOthers = ((await readJson(['ip', '-j', 'link', 'show', 'type', 'bridge'])) as unknown[] | undefined)
      ?.length;
    if (!isOthers) {
      if (now.ipv4 !== before.ipv4) await writeFile(IPV4, before.ipv4);
      if (now.ipv6 !== before.ipv6) await writeFile(IPV6, before.ipv6);
    }
    await rm(this.#path, { force: true });
  }

  async #before(): Promise<Before | undefined> {
    const text = await readFile(this.#path, 'utf8').catch(() => undefined);
    return text === undefined ? undefined : (JSON.parse(text) as Before);
  }
}

async function read(): Promise<Before> {
  const text = (path: string): Promise<string> => readFile(path, 'utf8').catch(() => '0');
  const [ipv4, ipv6] = await Promise.all([text(IPV4), text(IPV6)]);
  return { version: 1, ipv4: ipv4.trim(), ipv6: ipv6.trim() };
}

/** A router takes no route of others' unless told that it should all the same (accept_ra 2, ip-sysctl.rst): the host's own way out. */
async function keepAdvertised(): Promise<void> {
  const root = '/proc/sys/net/ipv6/conf';
  for (const name of await readdir(root)) {
    const path = join(root, name, 'accept_ra');
    if ((await readFile(path, 'utf8').catch(() => '')).trim() === '1')
      await writeFile(path, '2').catch(() => undefined);
  }
}
