import { SkerryError, type AclRule, type NetworkForward } from '@skerry/api/base';
import type { Positional } from '../grammar/index.ts';

/** What is typed of networks, read. The daemon checks what it means. */

export const NETWORK: Positional = { name: 'network', aliases: ['name'], value: 'NETWORK', summary: 'its name' };

/** '192.168.50.10-192.168.50.99' @throws SkerryError `invalid` */
export function addressRange(text: string, option: string): { from: string; to: string } {
  const [from = '', to = '', ...rest] = text.split('-');
  if (from !== '' && to !== '' && rest.length === 0) return { from, to };
  throw new SkerryError('invalid', `${option}: '${text}' is no range of addresses`, {
    remedy: `Write the first and the last: ${option} 192.168.50.10-192.168.50.99.`,
  });
}

/** '8080', '0.0.0.0:8080', '[::1]:8080' @throws SkerryError `invalid` */
export function hostEnd(text: string): Pick<NetworkForward, 'hostPort'> & Partial<Pick<NetworkForward, 'hostAddress'>> {
  const match = /^(?:([\d.]+|\[[\da-f:]+\]):)?(\d{1,5})$/i.exec(text);
  if (match !== null) {
    const hostPort = Number(match[2]);
    return match[1] === undefined ? { hostPort } : { hostPort, hostAddress: match[1].replace(/[[\]]/g, '') };
  }
  throw new SkerryError('invalid', `--host: '${text}' is no port of the host`, {
    remedy: 'Write a port, or with an address to listen on, 0.0.0.0:8080.',
  });
}

/** 'web:80', 'shop/web:80' @throws SkerryError `invalid` */
export function guestEnd(text: string): Pick<NetworkForward, 'vm' | 'guestPort'> {
  const match = /^([a-z0-9/-]+):(\d{1,5})$/.exec(text);
  if (match !== null) return { vm: match[1] ?? '', guestPort: Number(match[2]) };
  throw new SkerryError('invalid', `--to: '${text}' is no port of a VM`, {
    remedy: 'Write the VM and its port: web:80.',
  });
}

/** '80', '8000-8099' @throws SkerryError `invalid` */
export function portRange(text: string): NonNullable<AclRule['ports']> {
  const match = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(text);
  if (match !== null) return { from: Number(match[1]), to: Number(match[2] ?? match[1]) };
  throw new SkerryError('invalid', `--port: '${text}' is no port`, { remedy: 'Write a port, or a range: 8000-8099.' });
}

export function portText(ports: AclRule['ports']): string {
  if (ports === undefined) return 'any';
  return ports.from === ports.to ? String(ports.from) : `${ports.from}-${ports.to}`;
}
