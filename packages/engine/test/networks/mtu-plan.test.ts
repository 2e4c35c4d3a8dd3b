import { expect, test } from 'vitest';
import { mtuOf } from '../../src/networks/mtu-plan.ts';

test.each([
  ['nat', {}, 1500],
  ['nat', { mtu: 9000 }, 9000],
  ['overlay', {}, 1450],
  ['overlay', { peers: ['192.0.2.7'] }, 1450],
  ['overlay', { peers: ['2001:db8::7'] }, 1430],
  ['overlay', { peers: ['2001:db8::7'], mtu: 8930 }, 8930],
  ['bridged', { uplinkMtu: 1400 }, 1400],
  ['bridged', { uplinkMtu: 9000, mtu: 1500 }, 1500],
  ['isolated', { uplinkMtu: 1400 }, 1500],
] as const)('%s %j: %i', (mode, asked, mtu) => {
  const peers = 'peers' in asked ? [...asked.peers] : undefined;
  expect(mtuOf({ ...asked, mode, peers })).toBe(mtu);
});
