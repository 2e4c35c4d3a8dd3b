import { readFile, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { isOurs6, passingOf, type Changed, type Changed6, type Passing, type Switches } from './forwarding-plan.ts';
import { isOfInstance } from './names-model.ts';
import { readJson } from './place-commands.ts';

/** Makes this host pass on what is of networks that lead out, and has it as it was afterwards. See forwarding-plan.ts. */

const HOST4 = '/proc/sys/net/ipv4/ip_forward';
const ROOT4 = '/proc/sys/net/ipv4/conf';
const ROOT6 = '/proc/sys/net/ipv6/conf';
const HOST6 = `${ROOT6}/all/forwarding`;
const DEFAULT6 = `${ROOT6}/default/forwarding`;

export class Router {
  readonly #path: string;

  /** @param dir of the kernel datapath's own files; it exists before anything is changed */
  constructor(dir: string) {
    this.#path = join(dir, 'forwarding.json');
  }

  /** As it will be once enabled: rules against the rest come before. */
  async passing(wantsIpv6: boolean): Promise<Passing> {
    const passing = passingOf(await this.#look(), await this.#changed(), wantsIpv6);
    const isAny = passing.interfaces.length > 0 || passing.ipv6;
    return { ...passing, bridges: isAny ? await this.#bridges() : [] };
  }

  /** @param bridges of ours, whose guests are led out */
  async enable(bridges: readonly string[], { interfaces, ipv6 }: Passing): Promise<void> {
    const [now, before] = await Promise.all([this.#look(), this.#changed()]);
    const changed6 = isOurs6(now, before?.ipv6) ? before?.ipv6 : undefined;
    const changed: Changed = { version: 1, interfaces, ipv6: changed6 };
    const isNew = JSON.stringify(before) !== JSON.stringify(changed);
    if (isNew && (before !== undefined || interfaces.length > 0)) await this.#keep(changed);
    for (const name of interfaces) await turn(join(ROOT4, name, 'forwarding'), true);
    const isMissing6 = changed6 === undefined ? !now.ipv6 : changed6.stage === 'begun';
    if (ipv6 && isMissing6) await this.#enable6(interfaces, changed6);
    for (const name of bridges) {
      // Guests drop a router from their list that says of itself that it is none (RFC 4861 section 7.2.5).
      for (const root of ipv6 || now.ipv6 ? [ROOT4, ROOT6] : [ROOT4]) await turn(join(root, name, 'forwarding'), true);
    }
  }

  /** What somebody else has come to need stays. */
  async restore(): Promise<void> {
    const changed = await this.#changed();
    if (changed === undefined) return;
    const now = await this.#look();
    if (!now.ipv4) for (const name of changed.interfaces) await turn(join(ROOT4, name, 'forwarding'), false);
    if (changed.ipv6?.stage === 'begun') await listen(changed.ipv6.listeners);
    if (changed.ipv6 !== undefined && isOurs6(now, changed.ipv6)) {
      await turn(HOST6, false);
      for (const name of changed.ipv6.routers) await turn(join(ROOT6, name, 'forwarding'), true);
    }
    await rm(this.#path, { force: true });
  }

  /** A router forgets what it was told by others (rt6_purge_dflt_routers()), but where it listens all the same (accept_ra 2). */
  async #enable6(interfaces: readonly string[], begun: Changed6 | undefined): Promise<void> {
    const names = (await readdir(ROOT6)).filter((name) => name !== 'all' && !isOfInstance(name));
    const { routers, listeners } = begun ?? {
      routers: await those(names, (name) => isOn(join(ROOT6, name, 'forwarding'))),
      listeners: await those(names, async (name) => name !== 'default' && (await isOn(join(ROOT6, name, 'accept_ra')))),
    };
    await this.#keep({ version: 1, interfaces, ipv6: { stage: 'begun', routers, listeners } });
    await listen(listeners, 'always');
    await write(HOST6, '1');
    for (const name of names.filter((each) => !routers.includes(each))) {
      await turn(join(ROOT6, name, 'forwarding'), false);
    }
    await listen(listeners);
    await this.#keep({ version: 1, interfaces, ipv6: { stage: 'done', routers, listeners } });
  }

  async #look(): Promise<Switches> {
    const [ipv4, ipv6, default6, names] = await Promise.all([isOn(HOST4), isOn(HOST6), isOn(DEFAULT6), readdir(ROOT4)]);
    const others = addressed().filter((name) => !isOfInstance(name));
    const passing = await those(others, (name) => isOn(join(ROOT4, name, 'forwarding')));
    return { ipv4, ipv6, default6, interfaces: new Map(others.map((name) => [name, passing.includes(name)])), names };
  }

  /** Of nobody of us. /sys is not asked: it tells of the namespace that it was mounted in. */
  async #bridges(): Promise<string[]> {
    const links = (await readJson(['ip', '-j', 'link', 'show', 'type', 'bridge'])) as
      | Array<{ ifname: string }>
      | undefined;
    return (links ?? [])
      .map(({ ifname }) => ifname)
      .filter((name) => !isOfInstance(name))
      .sort();
  }

  async #changed(): Promise<Changed | undefined> {
    const text = await readFile(this.#path, 'utf8').catch(() => undefined);
    return text === undefined ? undefined : (JSON.parse(text) as Changed);
  }

  async #keep(changed: Changed): Promise<void> {
    await writeFile(`${this.#path}.new`, JSON.stringify(changed), { mode: 0o600 });
    await rename(`${this.#path}.new`, this.#path);
  }
}

/** To routers: always, or as long as an interface is none itself. */
async function listen(names: readonly string[], when?: 'always'): Promise<void> {
  for (const name of names) await write(join(ROOT6, name, 'accept_ra'), when === undefined ? '1' : '2');
}

/** Interfaces with an address of IPv4 that are up. eth0:1 is a further address of eth0. */
function addressed(): string[] {
  return Object.entries(networkInterfaces())
    .filter(([, addresses = []]) => addresses.some(({ family, internal }) => family === 'IPv4' && !internal))
    .map(([name]) => name.replace(/:.*$/, ''));
}

/** Of a host without IPv6, or an interface that has gone, nothing is. */
async function read(path: string): Promise<string> {
  return (await readFile(path, 'utf8').catch(() => '')).trim();
}

async function isOn(path: string): Promise<boolean> {
  return (await read(path)) === '1';
}

async function turn(path: string, on: boolean): Promise<void> {
  const is = await read(path);
  if (is !== '' && is !== (on ? '1' : '0')) await write(path, on ? '1' : '0');
}

/** An interface may have gone meanwhile. */
async function write(path: string, value: string): Promise<void> {
  await writeFile(path, value).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error;
  });
}

async function those(names: readonly string[], are: (name: string) => Promise<boolean>): Promise<string[]> {
  const found = await Promise.all(names.map((name) => are(name)));
  return names.filter((_, place) => found[place]);
}
