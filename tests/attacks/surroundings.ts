import { randomBytes } from 'node:crypto';
import { run } from '../../packages/engine/src/hosts/index.ts';

/** A network namespace in place of a host, and a world behind it: nothing of the machine itself is touched. As root only. */

export const HOST_IP = '198.51.100.2';
export const WORLD_IP = '198.51.100.1';
export const HOST_IP6 = 'fd00:ffff::2';
export const WORLD_IP6 = 'fd00:ffff::1';
/** Whoever keeps the host's secrets is out there; the host itself may ask. */
export const METADATA = '169.254.169.254';

export interface Surroundings extends AsyncDisposable {
  /** Paths of the namespaces. */
  readonly host: string;
  readonly world: string;
}

export function arePossible(): boolean {
  return process.getuid?.() === 0;
}

export async function makeSurroundings(): Promise<Surroundings> {
  const id = randomBytes(3).toString('hex');
  const [host, world] = [`sks${id}h`, `sks${id}w`];
  const remove = async (): Promise<void> => {
    for (const netns of [host, world]) await run(['ip', 'netns', 'delete', netns], { okExitCodes: 'any' });
  };
  const batch = (netns: string, lines: readonly string[]) =>
    run(['ip', '-n', netns, '-batch', '-'], { input: lines.join('\n') });
  try {
    for (const netns of [host, world]) await run(['ip', 'netns', 'add', netns]);
    // As where nobody has loaded br_netfilter: a bridge of the kernel looks at nothing that it is not told to.
    for (const which of ['iptables', 'ip6tables', 'arptables']) {
      const set = ['sysctl', '-qw', `net.bridge.bridge-nf-call-${which}=0`];
      await run(['nsenter', `--net=/run/netns/${host}`, ...set], { okExitCodes: 'any' });
    }
    await run(['ip', 'link', 'add', 'up0', 'netns', host, 'type', 'veth', 'peer', 'name', 'down0', 'netns', world]);
    await batch(world, [
      'link set lo up',
      `address add ${WORLD_IP}/24 dev down0`,
      `address add ${METADATA}/32 dev lo`,
      `address add ${WORLD_IP6}/64 dev down0 nodad`,
      'link set down0 up',
      // The world tries to get at guests.
      `route add 10.213.0.0/16 via ${HOST_IP}`,
      `route add 10.75.0.0/16 via ${HOST_IP}`,
      `route add 203.0.113.0/24 via ${HOST_IP}`,
      `route add fd00::/16 via ${HOST_IP6}`,
    ]);
    await batch(host, [
      'link set lo up',
      `address add ${HOST_IP}/24 dev up0`,
      `address add ${HOST_IP6}/64 dev up0 nodad`,
      'link set up0 up',
      `route add default via ${WORLD_IP}`,
      `route add default via ${WORLD_IP6}`,
    ]);
  } catch (error) {
    await remove();
    throw error;
  }
  return { host: `/run/netns/${host}`, world: `/run/netns/${world}`, [Symbol.asyncDispose]: remove };
}
