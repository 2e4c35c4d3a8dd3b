import { isIP } from 'node:net';
import { SkerryError } from '@skerry/api/base';

/** Pure: pairs of ports as they are written. */

export interface PortPair {
  readonly hostAddress: string;
  /** 0: any that is free. */
  readonly hostPort: number;
  readonly guestPort: number;
}

const PAIR = /^(?:(?<address>[\d.]+|\[[\da-f:.]+\]):)?(?<host>\d{1,5}):(?<guest>\d{1,5})$/i;

/** '8080:80', '0:80', '0.0.0.0:8080:80', '[::1]:8080:80' @throws SkerryError `invalid`, `unsupported` (UDP) */
export function parsePair(text: string): PortPair {
  if (/\/udp$/i.test(text)) {
    throw new SkerryError('unsupported', `'${text}': UDP can not be forwarded`, {
      remedy: 'Forward a TCP port; VMs of one network reach each other by UDP without forwards.',
    });
  }
  const { address = '127.0.0.1', host, guest } = PAIR.exec(text.replace(/\/tcp$/i, ''))?.groups ?? {};
  const [hostAddress, hostPort, guestPort] = [address.replace(/[[\]]/g, ''), Number(host), Number(guest)];
  if (!(isIP(hostAddress) !== 0 && hostPort >= 0 && hostPort <= 65_535 && guestPort >= 1 && guestPort <= 65_535)) {
    throw new SkerryError('invalid', `'${text}' is no pair of ports`, {
      remedy:
        "Write this machine's port, then the VM's: 8080:80, with 0 for any that is free, or with an address to listen on, 0.0.0.0:8080:80.",
    });
  }
  return { hostAddress, hostPort, guestPort };
}

/** '127.0.0.1:8080', '[::1]:8080' */
export function shownAddress(address: string, port: number): string {
  return `${address.includes(':') ? `[${address}]` : address}:${port}`;
}
