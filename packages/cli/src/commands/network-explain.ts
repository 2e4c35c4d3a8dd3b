import { type Explanation, SkerryError } from '@skerry/api/base';
import type { Command } from '../grammar/index.ts';
import { padEnd, printable } from '../tables/index.ts';

const FAILED = 1;

export const explainCommand: Command = {
  group: 'network',
  verb: 'explain',
  positionals: [
    { name: 'from', value: 'VM', completes: 'vm', summary: 'who asks: a VM, `host`, or an address' },
    {
      name: 'to',
      value: 'VM[:PORT]',
      completes: 'vm',
      summary: 'whom: a VM, `host` or an address, and a port of it; without a port: whether it can be pinged',
    },
  ],
  options: [
    { name: 'proto', value: 'PROTOCOL', choices: ['tcp', 'udp'], summary: 'of the port; default: tcp' },
    { name: 'ipv6', summary: 'by the IPv6 address of a VM' },
  ],
  summary: 'Whether one VM reaches another, and if not, what exactly is in the way',
  description:
    'Follows the way from link to link, with what the guests themselves say of their addresses, routes and listening ports, and ' +
    'names the first thing at fault with what mends it. Sends nothing. The exit code is 0 for yes, 1 for no.',
  examples: [
    'skerry network explain web db:5432',
    'skerry network explain shop/web 198.51.100.7:443',
    'skerry network explain host web:80',
    'skerry network explain web [fd00:50::b]:80',
  ],
  async run(context, args) {
    const { host: to, port } = hostAndPort(args.required('to'));
    const protocol = args.text('proto') as 'tcp' | 'udp' | undefined;
    const client = await context.client();
    const answer = await client.call('network.explain', {
      body: {
        from: args.required('from'),
        to,
        ...(port === undefined ? {} : { port }),
        ...(protocol === undefined ? {} : { protocol }),
        ...(args.flag('ipv6') ? { ipv6: true } : {}),
      },
    });
    await context.out.result(answer, () => linesOf(answer));
    return answer.reachable === 'no' ? FAILED : 0;
  },
};

/** 'db:5432', '10.0.0.2', 'fd00::2', '[fd00::2]:80'. @throws SkerryError `invalid` */
export function hostAndPort(text: string): { readonly host: string; readonly port?: number } {
  const colons = text.split(':').length - 1;
  // Without brackets nobody could tell a port from the end of an address (RFC 3986 section 3.2.2).
  const pattern = colons > 1 ? WITH_IPV6 : PLAIN;
  const { host, inner, port } = pattern.exec(text)?.groups ?? {};
  const name = host ?? inner ?? '';
  if (name !== '' && port === undefined) return { host: name };
  const number = Number(port);
  if (name !== '' && number >= 1 && number <= 65_535) return { host: name, port: number };
  throw new SkerryError('invalid', `'${text}' is no VM, address or VM:PORT`, {
    remedy: 'Write db, db:5432, 10.0.0.2, 10.0.0.2:80, fd00::2 or [fd00::2]:80.',
  });
}

const PLAIN = /^(?<host>[^:]+)(?::(?<port>\d{1,5}))?$/;
const WITH_IPV6 = /^(?:(?<host>[\da-f:.]+)|\[(?<inner>[\da-f:.]+)\](?::(?<port>\d{1,5}))?)$/i;

function linesOf({ reachable, path, cause, notes }: Explanation): string[] {
  const width = Math.max(0, ...path.map(({ at }) => at.length));
  return [
    reachable,
    ...path.map(({ at, text }) => `  ${padEnd(printable(at), width)}  ${printable(text)}`),
    ...(cause === undefined ? [] : [`  ${printable(cause.message)}`, `  to mend it: ${printable(cause.remedy)}`]),
    ...notes.map((note) => `  note: ${printable(note)}`),
  ];
}
