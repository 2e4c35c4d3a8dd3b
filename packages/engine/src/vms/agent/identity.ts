import { isIP, isIPv4 } from 'node:net';
import { SkerryError } from '@skerry/api';
import { NIC_STATES, TAG } from './protocol.ts';
import { TlvWriter } from './tlv.ts';
import type { Identity, NicChange, NicIdentity, NicNames } from './types.ts';

/** An identity as the agent takes it: addresses as bytes, files as text, so that C has nothing to parse. */

export function encodeIdentity(identity: Identity): TlvWriter {
  const values = new TlvWriter();
  // The agent takes them in this order. The clock is right as of now: a disk that is slow to mount must not come before it.
  values.u64(TAG.UNIX_TIME_NS, identity.unixTimeNs);
  if (identity.seed !== undefined) values.bytes(TAG.SEED, identity.seed);
  // Before all that writes files: they are written to the root that it makes.
  values.string(TAG.ROOT, identity.root);
  values.string(TAG.HOSTNAME, identity.hostname);
  values.string(TAG.MACHINE_ID, identity.machineId);
  values.string(TAG.GENERATION, identity.generation);
  values.string(TAG.BOOT_ID, identity.bootId);
  if (identity.freshKeys === true) values.u32(TAG.FRESH_KEYS, 1);
  for (const entry of envEntries(identity.env)) values.string(TAG.ENV, entry);
  if (identity.router === true) values.u32(TAG.ROUTER, 1);
  for (const nic of identity.nics ?? []) values.bytes(TAG.NIC, encodeNic(nic));
  return nameFiles(values, identity);
}

export function encodeNicChanges(changes: readonly NicChange[], names: NicNames | undefined): TlvWriter {
  const values = new TlvWriter();
  for (const change of changes) values.bytes(TAG.NIC, encodeNic(change, NIC_STATES.indexOf(change.state)));
  return names === undefined ? values : nameFiles(values, names);
}

function nameFiles(values: TlvWriter, names: NicNames): TlvWriter {
  if (names.dns !== undefined || names.search !== undefined)
    values.string(TAG.RESOLV_CONF, resolvConf(names.dns ?? [], names.search ?? []));
  if (names.hosts !== undefined || names.hostname !== undefined) values.string(TAG.HOSTS, hostsFile(names));
  return values;
}

/** @throws SkerryError `invalid`: a name with `=` or a NUL byte in either */
export function envEntries(env: Readonly<Record<string, string>> | undefined): string[] {
  return Object.entries(env ?? {}).map(([name, value]) => {
    if (name === '' || /[=\0]/.test(name) || value.includes('\0')) {
      throw new SkerryError('invalid', `the environment variable ${JSON.stringify(name)} can not be passed`, {
        remedy: 'Use a name without =, and no NUL byte in name or value.',
      });
    }
    return `${name}=${value}`;
  });
}

function encodeNic(nic: NicIdentity, state?: number): Buffer {
  const values = new TlvWriter();
  if (nic.mac !== undefined) values.bytes(TAG.MAC, macBytes(nic.mac));
  if (nic.currentMac !== undefined) values.bytes(TAG.CURRENT_MAC, macBytes(nic.currentMac));
  for (const address of nic.addresses) values.bytes(TAG.ADDRESS, cidrBytes(address));
  if (nic.gateway !== undefined) values.bytes(TAG.GATEWAY, ipBytes(nic.gateway));
  for (const { to, via } of nic.routes ?? []) {
    values.bytes(TAG.ROUTE, Buffer.concat([cidrBytes(to), ipBytes(via)]));
  }
  return values.u32(TAG.MTU, nic.mtu).u32(TAG.STATE, state).end();
}

function resolvConf(dns: readonly string[], search: readonly string[]): string {
  const lines = dns.map((server) => `nameserver ${server}`);
  if (search.length > 0) lines.unshift(`search ${search.join(' ')}`);
  return lines.map((line) => `${line}\n`).join('');
}

function hostsFile(identity: NicNames): string {
  const own = identity.nics?.[0]?.addresses[0]?.split('/')[0];
  const lines = ['127.0.0.1 localhost', '::1 localhost ip6-localhost ip6-loopback'];
  // As Debian does for a host without an address: programs look their own name up.
  if (identity.hostname !== undefined) lines.push(`${own ?? '127.0.1.1'} ${identity.hostname}`);
  for (const { address, names } of identity.hosts ?? []) lines.push(`${address} ${names.join(' ')}`);
  return lines.map((line) => `${line}\n`).join('');
}

function macBytes(mac: string): Buffer {
  if (!/^[0-9a-f]{2}(?::[0-9a-f]{2}){5}$/i.test(mac)) throw invalid('a MAC address', mac, '52:54:00:12:34:56');
  return Buffer.from(mac.replaceAll(':', ''), 'hex');
}

/** The prefix length in one byte, then the address. */
function cidrBytes(cidr: string): Buffer {
  const [address = '', prefix = ''] = cidr.split('/');
  const bytes = ipBytes(address);
  if (!/^\d{1,3}$/.test(prefix) || Number(prefix) > bytes.length * 8) {
    throw invalid('an address with its prefix length', cidr, '10.213.4.7/24');
  }
  return Buffer.concat([Buffer.from([Number(prefix)]), bytes]);
}

/** 4 or 16 bytes. @throws SkerryError `invalid` */
export function ipBytes(address: string): Buffer {
  if (isIPv4(address)) return Buffer.from(address.split('.').map(Number));
  if (isIP(address) !== 6 || address.includes('%')) throw invalid('an IP address', address, '10.213.4.7');
  // An IPv4 tail (::ffff:1.2.3.4) as two groups, then `::` as many zero groups as are missing.
  const plain = address.replace(/(\d+)\.(\d+)\.(\d+)\.(\d+)$/, (_all, a: string, b: string, c: string, d: string) =>
    [Number(a) * 256 + Number(b), Number(c) * 256 + Number(d)].map((group) => group.toString(16)).join(':'),
  );
  const [head = '', tail] = plain.split('::');
  const groups = (part: string | undefined): string[] => (part === undefined || part === '' ? [] : part.split(':'));
  const before = groups(head);
  const after = groups(tail);
  const all = [...before, ...Array<string>(8 - before.length - after.length).fill('0'), ...after];
  const bytes = Buffer.alloc(16);
  for (const [index, group] of all.entries()) bytes.writeUInt16BE(Number.parseInt(group, 16), index * 2);
  return bytes;
}

function invalid(what: string, value: string, example: string): SkerryError {
  return new SkerryError('invalid', `${JSON.stringify(value)} is not ${what}`, { remedy: `Write it as ${example}.` });
}
