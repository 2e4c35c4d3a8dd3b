import { Forward } from '@skerry/api';
import type { Draft } from './draft.ts';
import { type Entry, lost, type Table, tableOf, textInto, translate, unneeded } from './entry.ts';

/** Pure: published ports, in the short form that both formats have and in compose's long one. */

interface Published {
  address?: string;
  host?: string;
  guest?: string;
  protocol?: string;
}

const SHORT =
  /^(?:(?:(?<address>\[[0-9a-fA-F:.]+\]|[0-9.]+):)?(?<host>\d*(?:-\d+)?):)?(?<guest>\d+(?:-\d+)?)(?:\/(?<protocol>\w+))?$/;

export function portsOf(entry: Entry, draft: Draft, vm: string): void {
  for (const port of entry.items()) {
    if (port.isMapping) longPort(port, draft, vm);
    else shortPort(port, draft, vm);
  }
}

function shortPort(entry: Entry, draft: Draft, vm: string): void {
  const text = entry.text();
  if (text === undefined) return;
  const match = SHORT.exec(text)?.groups;
  if (match === undefined) {
    entry.lost(`'${text}' is no port that can be read`, 'Write `forward: [{ host: PORT, to: VM:PORT }]`.');
    return;
  }
  const { address, host, guest = '', protocol } = match;
  publish(entry, draft, vm, {
    guest,
    ...(address === undefined ? {} : { address }),
    ...(host === undefined || host === '' ? {} : { host }),
    ...(protocol === undefined ? {} : { protocol }),
  });
}

const LONG: Table<Published> = tableOf<Published>({
  target: textInto('guest'),
  published: textInto('host'),
  host_ip: textInto('address'),
  protocol: textInto('protocol'),
  name: unneeded('a name for people'),
  app_protocol: unneeded('a hint for people'),
  mode: lost('a forward leads to its VM on this host; there is no other mode'),
});

function longPort(entry: Entry, draft: Draft, vm: string): void {
  const published: Published = {};
  translate(entry, LONG, published);
  if (published.guest === undefined) entry.lost('it names no port of the container');
  else publish(entry, draft, vm, published);
}

function publish(entry: Entry, draft: Draft, vm: string, { address, host, guest = '', protocol }: Published): void {
  if (protocol !== undefined && protocol !== 'tcp' && protocol !== 'udp') {
    entry.lost(`${guest}/${protocol}: only TCP and UDP ports are forwarded`);
    return;
  }
  const proto = protocol === 'udp' ? { proto: 'udp' as const } : {};
  if (host === undefined) {
    entry.lost(
      `${guest} is published at a port that is chosen at each start; a forward names one`,
      `Write \`forward: [{ host: PORT, to: '${vm}:${guest}' }]\`.`,
    );
    return;
  }
  const guests = rangeOf(guest);
  const hosts = rangeOf(host);
  // A range of the host for one port means any free one of it.
  if (guests === undefined || hosts === undefined || guests.length !== hosts.length) {
    entry.lost(`${host}:${guest} is not one port for each port`, 'Write a forward for each.');
    return;
  }
  const bare = (address ?? '').replace(/^\[|\]$/g, '') || '0.0.0.0';
  if (!Forward.shape.hostAddress.safeParse(bare).success) {
    entry.lost(`${bare} is no address of the host`, 'Write `host: ADDRESS:PORT`.');
    return;
  }
  const at = bare.includes(':') ? `[${bare}]` : bare;
  for (const [index, hostPort] of hosts.entries()) {
    const end = at === '127.0.0.1' ? hostPort : `${at}:${hostPort}`;
    const other = draft.forward.find((each) => portOf(each.host) === hostPort && sameAddress(each.host, end));
    if (other === undefined) draft.forward.push({ host: end, to: `${vm}:${guests[index]}`, ...proto });
    else entry.lost(`port ${hostPort} of the host leads to ${other.to} already`, 'Choose another port.');
  }
}

/** '3000-3002' -> [3000, 3001, 3002]; undefined for what are no ports. */
function rangeOf(text: string): number[] | undefined {
  const match = /^(?<first>\d{1,5})(?:-(?<last>\d{1,5}))?$/.exec(text)?.groups;
  if (match === undefined) return undefined;
  const { first, last = first } = match;
  const [from, to] = [Number(first), Number(last)];
  if (from < 1 || to > 65_535 || from > to) return undefined;
  return Array.from({ length: to - from + 1 }, (_, index) => from + index);
}

function portOf(host: string | number): number {
  return Number(String(host).split(':').at(-1));
}

/** `checkNodeSpec` lets a port be used at several addresses. */
function sameAddress(a: string | number, b: string | number): boolean {
  const address = (host: string | number) =>
    typeof host === 'number' ? '127.0.0.1' : host.slice(0, host.lastIndexOf(':'));
  return address(a) === address(b);
}
