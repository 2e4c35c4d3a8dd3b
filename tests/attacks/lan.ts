import { randomBytes } from 'node:crypto';
import type { Attack, Cast } from '../../packages/switch/test/attacks.ts';
import { icmp, tcp } from '../../packages/switch/test/frames.ts';
import { udp } from '../../packages/switch/test/support.ts';
import { run } from '../../packages/engine/src/hosts/index.ts';

/** A LAN at an interface of the host's, for guests to be on: with a machine that nobody has asked, and is to be left in peace. */

/** Of the host. */
export const PARENT = 'eno1';
export const LAN_SUBNET6 = 'fd00:ffee::/64';
/** Set aside for guests. */
export const LAN_RANGE = { from: '203.0.113.50', to: '203.0.113.60' };
export const LAN_ROUTER = { mac: '02:00:5e:00:00:01', address: '203.0.113.1', address6: 'fd00:ffee::1' };
export const LAN_HOST = { mac: '02:00:5e:00:00:02', address: '203.0.113.2', address6: 'fd00:ffee::2' };

export interface Lan extends AsyncDisposable {
  /** Path of the namespace that the router is. */
  readonly netns: string;
}

/** @param host path of the network namespace that stands for the host */
export async function makeLan(host: string): Promise<Lan> {
  const name = `skl${randomBytes(3).toString('hex')}`;
  const netns = `/run/netns/${name}`;
  const remove = async (): Promise<void> => void (await run(['ip', 'netns', 'delete', name], { okExitCodes: 'any' }));
  await run(['ip', 'netns', 'add', name]);
  try {
    const at = (where: string, ...argv: string[]) => run(['nsenter', `--net=${where}`, 'ip', ...argv]);
    await at(host, 'link', 'add', PARENT, 'type', 'veth', 'peer', 'name', 'lan0', 'netns', name);
    for (const [where, dev, { mac, address, address6 }] of [
      [host, PARENT, LAN_HOST],
      [netns, 'lan0', LAN_ROUTER],
    ] as const) {
      await at(where, 'link', 'set', dev, 'address', mac);
      await at(where, 'address', 'add', `${address}/24`, 'dev', dev);
      await at(where, 'address', 'add', `${address6}/64`, 'dev', dev, 'nodad');
      await at(where, 'link', 'set', dev, 'up');
    }
    // It tries to get at everybody, by way of the host.
    for (const range of ['10.213.0.0/16', '10.75.0.0/16', '198.51.100.0/24', '169.254.0.0/16', 'fd00::/16']) {
      const via = range.includes(':') ? LAN_HOST.address6 : LAN_HOST.address;
      await at(netns, 'route', 'add', range, 'via', via);
    }
  } catch (error) {
    await remove();
    throw error;
  }
  return { netns, [Symbol.asyncDispose]: remove };
}

/**
 * What a guest may do on a LAN as little as anywhere else, and what there alone is to be tried: to be led on by the host. There is
 * no IPv6 for guests, no VLAN, and nobody of ours who answers: what is done rightly is a datagram to a friend.
 * @param all those of networks of our own
 */
export function attacksOnLan(all: readonly Attack[], { eve, victim, elsewhere, outside, forwardPort }: Cast): Attack[] {
  const honest = [udp(eve, victim)];
  const common = all
    .filter(({ name, reason }) => !['acl', 'host'].includes(reason) && name !== 'into another VLAN')
    .filter(({ reaches, harmless = false }) => reaches !== 'outside' && !harmless)
    .map((each): Attack => {
      const isOfNobody = isIpv6(each) || each.reaches === 'answer';
      return isOfNobody ? { ...each, control: honest, reaches: 'victim' } : each;
    });
  const ledOn = (to: string, frame: Buffer): Attack => ({
    name: `${to}, by way of the host`,
    reason: 'host',
    frames: [frame],
    control: [icmp(eve, LAN_HOST, 8)],
    reaches: 'answer',
  });
  const at = (address: string) => ({ mac: LAN_HOST.mac, address });
  return [
    ...common,
    ledOn('a guest of another network', udp(eve, at(elsewhere))),
    ledOn("a guest of another network's TCP", tcp(eve, at(elsewhere), { port: 80 })),
    ledOn('the outside', udp(eve, at(outside))),
    ledOn("the cloud's metadata", tcp(eve, at('169.254.169.254'), { port: 80 })),
    ledOn('a forward of loopback', tcp(eve, at('127.0.0.1'), { port: forwardPort })),
  ];
}

function isIpv6({ frames, control }: Attack): boolean {
  return [...frames, ...control].some((frame) => frame.readUInt16BE(12) === 0x86dd);
}
