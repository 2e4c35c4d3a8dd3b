import { execFile } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

/** What is there of networks on this machine, found without asking the product. */

/** State LISTEN of TCP (include/net/tcp_states.h); a bound socket of UDP is in state CLOSE. */
const LISTEN = '0A';

/** `4711/tcp` for each port of 127.0.0.1 that somebody listens at. */
export async function listeningPorts(): Promise<Set<string>> {
  const [tcp, udp] = await Promise.all(['tcp', 'udp'].map((protocol) => readFile(`/proc/net/${protocol}`, 'utf8')));
  // sl, local_address, rem_address, st: proc(5); the address is in the byte order of the host.
  const rows = (text = ''): string[][] =>
    text
      .split('\n')
      .slice(1)
      .map((line) => line.trim().split(/ +/));
  const ports = (all: string[][], protocol: string): string[] =>
    all.flatMap(([, local = '', , state]) => {
      const [address, port = ''] = local.split(':');
      if (address !== '0100007F' || (protocol === 'tcp' && state !== LISTEN)) return [];
      return [`${Number.parseInt(port, 16)}/${protocol}`];
    });
  return new Set([...ports(rows(tcp), 'tcp'), ...ports(rows(udp), 'udp')]);
}

/** All names in a directory and below, as seen from it; none if it is not there. */
export async function filesIn(dir: string): Promise<string[]> {
  return (await readdir(dir, { recursive: true }).catch((): string[] => [])).toSorted();
}

/**
 * Interfaces, network namespaces and tables of nftables of this instance. Those of others that work beside us are not ours.
 * @param netns path of the network namespace to look in; absent: ours
 */
export async function kernelObjects(dataDir: string, netns?: string): Promise<string[]> {
  const instance = (await readFile(join(dataDir, 'instance'), 'utf8').catch(() => '')).trim();
  if (instance === '') return [];
  const lines = async (command: string, ...args: string[]): Promise<string[]> => {
    const argv = [...(netns === undefined ? [] : ['nsenter', `--net=${netns}`]), command, ...args];
    const { stdout } = await promisify(execFile)(argv[0]!, argv.slice(1)).catch(() => ({ stdout: '' }));
    return stdout.split('\n');
  };
  const [links, spaces, tables] = await Promise.all([
    lines('ip', '-br', 'link'),
    readdir('/run/netns').catch(() => []),
    lines('nft', 'list', 'tables'),
  ]);
  const ours = (name: string): boolean =>
    [`sk${instance}`, `skerry-${instance}-`, `skerry_${instance}`].some((ofIt) => name.includes(ofIt));
  return [
    ...links.filter(ours).map((line) => `interface ${line.split(' ')[0]}`),
    ...spaces.filter(ours).map((name) => `namespace ${name}`),
    ...tables.filter(ours),
  ];
}
