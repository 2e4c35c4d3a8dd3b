import { once } from 'node:events';
import { createServer } from 'node:net';
import { run } from '../../packages/engine/src/hosts/index.ts';
import { findJailHost } from '../../packages/engine/src/hypervisors/jail/index.ts';
import { EgressService } from '../../packages/engine/src/networks/index.ts';

/**
 * Runs inside a network namespace of its own (`unshare -n`): a "world" of two addresses, 198.51.100.1 and 2001:db8::1, a service
 * at each and on loopback, and the way out of a network. Prints what its parent needs as a line of JSON, ends with its stdin.
 */

const [runtimeDir = ''] = process.argv.slice(2);
const PORT = 7000;

await run(['ip', 'link', 'set', 'lo', 'up']);
await run(['ip', 'address', 'add', '198.51.100.1/32', 'dev', 'lo']);
await run(['ip', 'address', 'add', '2001:db8::1/128', 'dev', 'lo', 'nodad']);

const connections: string[] = [];
const servers = ['198.51.100.1', '127.0.0.1', '2001:db8::1', '::1'].map((address) => {
  const server = createServer((socket) => {
    connections.push(address);
    process.stdout.write(`${JSON.stringify({ connected: address })}\n`);
    socket.on('error', () => {});
    socket.write(`hello from ${address}`);
  });
  return server.listen(PORT, address);
});
await Promise.all(servers.map((server) => once(server, 'listening')));

const ipv6 = { subnet: 'fd00:50::/64', gateway: 'fd00:50::1' };
const network = { id: 'n', subnet: '10.213.4.0/24', gateway: '10.213.4.1', ipv6 };
const options = { runtimeDir, jail: { ...(await findJailHost()), scope: 'none' } as const };
const first = new EgressService(options);
await first.sync([network]);
await first.close();
// The next daemon adopts it: were a second one started, vmjail would refuse.
const egress = new EgressService(options);
await egress.sync([network]);
process.stdout.write(`${JSON.stringify({ socketPath: egress.socketPath(network) })}\n`);

process.stdin.resume();
await once(process.stdin, 'end');
await egress.sync([]);
await egress.close();
process.exit(0);
