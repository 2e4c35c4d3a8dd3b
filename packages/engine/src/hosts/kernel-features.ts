import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { access, mkdir, readFile, readdir, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { userInfo } from 'node:os';
import type { HostFeature, HostFeatureId } from '@skerry/api';
import { MANDATORY_LACKS } from './mandatory-plan.ts';
import { lookAtMandatory } from './mandatory.ts';
import { run } from './run.ts';

/**
 * What this kernel offers, each tried for real: network things in a network namespace of their own, which ends with the probe;
 * a control group that is removed again. Nothing of the host changes (but a kernel may load a module when asked for one).
 */
export async function probeKernelFeatures(uid: number): Promise<HostFeature[]> {
  const userNamespaces = await probeUserNamespaces();
  const [network, ...rest] = await Promise.all([
    probeNetwork(uid, userNamespaces.state === 'yes'),
    probeDevice('vhost-net', '/dev/vhost-net'),
    probeDevice('vsock', '/dev/vhost-vsock'),
    probeControlGroups(uid),
    probeKsm(),
    probeHugePages(),
    ...probeMandatory(),
    ...probeSystemd(),
  ]);
  return [userNamespaces, ...network, ...rest];
}

async function probeUserNamespaces(): Promise<HostFeature> {
  const id = 'user-namespaces';
  const error = await run(['unshare', '-Ur', 'true'], { timeoutMs: 5000 }).then(
    () => undefined,
    (cause: Error) => cause.message,
  );
  return error === undefined
    ? { id, state: 'yes', found: 'can be made by this user' }
    : { id, state: 'no', found: error };
}

/** Each line is tried in turn; the name of the feature comes first. The namespace is thrown away afterwards. */
const NETWORK_PROBES: ReadonlyArray<readonly [HostFeatureId, string]> = [
  ['tap', 'ip tuntap add dev sktap mode tap'],
  ['bridge', 'ip link add skbr type bridge'],
  ['vlan-filtering', 'ip link add skbrv type bridge vlan_filtering 1'],
  // Of the bridge above: the loopback takes no VLANs (NETIF_F_VLAN_CHALLENGED).
  ['vlan', 'ip link add link skbr name skvlan type vlan id 5'],
  // Made by br_netfilter, which nothing loads by itself.
  ['bridge-filters', 'ls /proc/sys/net/bridge'],
  ['vxlan', 'ip link add skvx type vxlan id 5 dstport 4789 local 127.0.0.1'],
  // All that is asked of it at once; a kernel that does not know the seed passes over it, so it is read back.
  [
    'netem',
    'tc qdisc replace dev lo root netem limit 32 delay 1ms 1ms loss 1% duplicate 1% corrupt 1% reorder 1% rate 1mbit',
  ],
  ['netem-seed', 'tc qdisc replace dev lo root netem loss 1% seed 7 && tc -j qdisc show dev lo | grep \'"seed":7\''],
  [
    'ifb',
    'ip link add skifb type ifb && tc qdisc add dev lo ingress && tc filter add dev lo parent ffff: protocol all prio 1 u32 match u32 0 0 action mirred egress redirect dev skifb',
  ],
  ['tbf', 'tc qdisc replace dev lo root tbf rate 1mbit burst 10k latency 10ms'],
  ['htb', 'tc qdisc replace dev lo root htb'],
  [
    'nftables',
    'nft "add table inet skerry; add chain inet skerry p { type nat hook postrouting priority 100; }; add rule inet skerry p masquerade"',
  ],
];

const NETWORK_SCRIPT = NETWORK_PROBES.map(
  ([id, command]) =>
    `if out=$({ ${command}; } 2>&1); then echo "${id} yes"; else echo "${id} no" $(echo "$out" | head -n 1); fi`,
).join('\n');

/** Without root, a user namespace gives the rights to try, where it can be made. */
async function probeNetwork(uid: number, userNamespaces: boolean): Promise<HostFeature[]> {
  const unknown = (found: string): HostFeature[] => NETWORK_PROBES.map(([id]) => ({ id, state: 'unknown', found }));
  if (uid !== 0 && !userNamespaces) return unknown('needs root to tell');
  try {
    const { stdout } = await run(['unshare', uid === 0 ? '-n' : '-Urn', 'sh', '-c', NETWORK_SCRIPT], {
      // Each command may load a module, and an emulated machine takes its time.
      timeoutMs: 30_000,
    });
    return readNetworkProbe(stdout, uid);
  } catch (error) {
    return unknown(`could not be tried: ${(error as Error).message}`);
  }
}

/** The script's output as features. Pure. */
export function readNetworkProbe(output: string, uid: number): HostFeature[] {
  return NETWORK_PROBES.map(([id]) => {
    const line = output
      .split('\n')
      .find((text) => text.startsWith(`${id} `))
      ?.slice(id.length + 1);
    if (line === 'yes') return { id, state: 'yes', found: uid === 0 ? 'works' : 'works, with root' };
    if (line === undefined) return { id, state: 'unknown', found: 'could not be tried' };
    const complaint = line.slice('no'.length).trim();
    if (/not found/.test(complaint)) return { id, state: 'unknown', found: `could not be tried: ${complaint}` };
    if (uid !== 0 && /denied|not permitted/i.test(complaint))
      return { id, state: 'unknown', found: 'needs root to tell' };
    return { id, state: 'no', found: complaint };
  });
}

async function probeDevice(id: HostFeatureId, path: string): Promise<HostFeature> {
  try {
    await access(path, constants.R_OK | constants.W_OK);
    return { id, state: 'yes', found: path };
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === 'ENOENT';
    return { id, state: 'no', found: missing ? `${path} does not exist` : `${path} may not be opened by this user` };
  }
}

/** Where a group of ours would be: as vmjail chooses it. */
async function probeControlGroups(uid: number): Promise<HostFeature> {
  const id = 'control-groups';
  const text = (path: string): Promise<string> => readFile(path, 'utf8').catch(() => '');
  const places: Array<{ version: string; dir: string }> = [];
  for (const line of (await text('/proc/self/mounts')).split('\n')) {
    const [, dir = '', type, options = ''] = line.split(' ');
    if (type === 'cgroup2' && (await text(join(dir, 'cgroup.controllers'))).includes('memory')) {
      const own = /^0::(\/.*)$/m.exec(await text('/proc/self/cgroup'))?.[1] ?? '/';
      places.unshift({ version: 'version 2', dir: uid === 0 ? dir : join(dir, own) });
    }
    if (type === 'cgroup' && options.split(',').includes('memory')) places.push({ version: 'version 1', dir });
  }
  const place = places[0];
  if (place === undefined) return { id, state: 'no', found: 'no control group with a memory controller is mounted' };
  const probe = join(place.dir, `skerry-probe-${randomBytes(4).toString('hex')}`);
  try {
    await mkdir(probe);
    await rmdir(probe);
    return { id, state: 'yes', found: `${place.version}, writable` };
  } catch (error) {
    return {
      id,
      state: 'no',
      found: `${place.version}, not writable by this user (${(error as NodeJS.ErrnoException).code})`,
    };
  }
}

async function probeKsm(): Promise<HostFeature> {
  const value = await readFile('/sys/kernel/mm/ksm/run', 'utf8').catch(() => undefined);
  if (value === undefined) return { id: 'ksm', state: 'no', found: 'the kernel has none' };
  return value.trim() === '1'
    ? { id: 'ksm', state: 'yes', found: 'runs' }
    : { id: 'ksm', state: 'no', found: 'there, turned off' };
}

async function probeHugePages(): Promise<HostFeature> {
  const id = 'huge-pages';
  const base = '/sys/kernel/mm/hugepages';
  const found: string[] = [];
  for (const name of await readdir(base).catch(() => [])) {
    const reserved = Number(await readFile(join(base, name, 'nr_hugepages'), 'utf8').catch(() => '0'));
    if (reserved > 0) found.push(`${reserved} of ${name.replace('hugepages-', '')}`);
  }
  const transparent = /\[(\w+)\]/.exec(
    await readFile('/sys/kernel/mm/transparent_hugepage/enabled', 'utf8').catch(() => ''),
  )?.[1];
  const words = [
    found.length === 0 ? 'none reserved' : `${found.join(', ')} reserved`,
    `transparent: ${transparent ?? 'no'}`,
  ];
  return { id, state: found.length > 0 ? 'yes' : 'no', found: words.join('; ') };
}

/** `yes`: VMs get a profile or a label each. */
function probeMandatory(): Array<Promise<HostFeature>> {
  const looked = lookAtMandatory();
  return (['apparmor', 'selinux'] as const).map(async (id): Promise<HostFeature> => {
    const found = await looked;
    if (found?.kind !== id) return { id, state: 'no', found: 'not active' };
    if (found.lack === undefined) return { id, state: 'yes', found: 'active' };
    return { id, state: 'no', found: `active, but ${MANDATORY_LACKS[found.lack].found}` };
  });
}

function probeSystemd(): Array<Promise<HostFeature>> {
  const there = (path: string): Promise<boolean> =>
    access(path).then(
      () => true,
      () => false,
    );
  const systemd = there('/run/systemd/system');
  return [
    systemd.then((yes) => ({
      id: 'systemd',
      state: yes ? 'yes' : 'no',
      found: yes ? 'is the init' : 'is not the init',
    })),
    systemd.then(async (yes) => {
      if (!yes) return { id: 'linger', state: 'no', found: 'systemd is not the init' };
      const on = await there(`/var/lib/systemd/linger/${userInfo().username}`);
      return { id: 'linger', state: on ? 'yes' : 'no', found: on ? 'on for this user' : 'off for this user' };
    }),
  ];
}
