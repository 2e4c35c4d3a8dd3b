import { createSocket } from 'node:dgram';
import { isIPv6 } from 'node:net';
import { SkerryError } from '@skerry/api';

/**
 * Whether the switch could listen at a UDP port of the host, for use before anything is changed: it only reports in its state
 * what it can't have.
 * @throws SkerryError `in-use`, `refused` (below 1024 without rights), `invalid` (no address of this host), `failed`
 */
export function assertUdpPortFree(hostAddress: string, hostPort: number): Promise<void> {
  const socket = createSocket(isIPv6(hostAddress) ? 'udp6' : 'udp4');
  return new Promise((resolve, reject) => {
    socket.once('error', (error: NodeJS.ErrnoException) => {
      socket.close();
      reject(failure(hostAddress, hostPort, error));
    });
    socket.bind({ address: hostAddress, port: hostPort, exclusive: true }, () => socket.close(() => resolve()));
  });
}

function failure(hostAddress: string, hostPort: number, cause: NodeJS.ErrnoException): SkerryError {
  const what = `UDP port ${hostPort} of ${hostAddress}`;
  const details = { hostAddress, hostPort, protocol: 'udp' };
  switch (cause.code) {
    case 'EADDRINUSE':
      return new SkerryError('in-use', `${what} is in use`, {
        remedy: `Choose another port, or end what listens there: ss -lnup 'sport = :${hostPort}'`,
        details,
        cause,
      });
    case 'EACCES':
      return new SkerryError('refused', `${what} needs more rights than this user has`, {
        remedy: 'Choose a port of 1024 or above.',
        details,
        cause,
      });
    case 'EADDRNOTAVAIL':
      return new SkerryError('invalid', `${hostAddress} is no address of this host`, {
        remedy: 'Use 127.0.0.1 for this host only, or 0.0.0.0 for all its addresses.',
        details,
        cause,
      });
    default:
      return new SkerryError('failed', `${what} can not be listened at: ${cause.message}`, {
        remedy: 'Choose another port.',
        details,
        cause,
      });
  }
}
