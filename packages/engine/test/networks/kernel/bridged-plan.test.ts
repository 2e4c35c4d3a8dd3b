import { describe, expect, it } from 'vitest';
import {
  checkHostLink,
  isStaged,
  movedOf,
  readHostLink,
  repairLines,
  stageLines,
  undoLines,
  type HostLink,
} from '../../../src/networks/kernel/bridged-plan.ts';

/** As iproute2 6.1 prints them. */
const ADDRESSES = [
  {},
  {
    ifname: 'eno1',
    flags: ['BROADCAST', 'MULTICAST', 'UP', 'LOWER_UP'],
    mtu: 9000,
    link_type: 'ether',
    address: '52:54:00:00:00:01',
    addr_info: [
      { family: 'inet', local: '192.168.1.5', prefixlen: 24, scope: 'global', dynamic: true },
      { family: 'inet', local: '192.168.1.6', prefixlen: 24, scope: 'global', secondary: true },
      { family: 'inet6', local: 'fd00:51::5', prefixlen: 64, scope: 'global' },
      { family: 'inet6', local: 'fd00:51::99', prefixlen: 64, scope: 'global', temporary: true },
      { family: 'inet6', local: 'fe80::5054:ff:fe00:1', prefixlen: 64, scope: 'link' },
    ],
  },
];
const ROUTES4 = [
  { dst: 'default', gateway: '192.168.1.1', dev: 'eno1', protocol: 'dhcp', metric: 100, flags: ['onlink'] },
  { dst: '192.168.1.0/24', dev: 'eno1', protocol: 'kernel', scope: 'link', prefsrc: '192.168.1.5', flags: [] },
  { dst: '10.9.0.0/16', gateway: '172.16.0.1', dev: 'eno1', table: '77', protocol: 'static', flags: [] },
  { dst: '172.16.0.1', dev: 'eno1', protocol: 'boot', scope: 'link', flags: [] },
  { dst: '10.8.0.0/16', gateway: '192.0.2.1', dev: 'eth9', protocol: 'static', flags: [] },
  { type: 'local', dst: '192.168.1.5', dev: 'eno1', table: 'local', protocol: 'kernel', scope: 'host', flags: [] },
];
const ROUTES6 = [
  { dst: 'default', gateway: 'fe80::1', dev: 'eno1', protocol: 'ra', metric: 1024, flags: [] },
  { dst: 'fd00:51::/64', dev: 'eno1', protocol: 'kernel', metric: 256, flags: [] },
  { type: 'multicast', dst: 'ff00::/8', dev: 'eno1', table: 'local', protocol: 'kernel', metric: 256, flags: [] },
];
const BRIDGE = 'skerry-0a1b2c3d';

const eno1 = readHostLink('eno1', ADDRESSES, ROUTES4, ROUTES6)!;
const moved = movedOf(eno1, BRIDGE);
const port: HostLink = { ...eno1, master: BRIDGE, addresses: [], routes: [] };
const bridge: HostLink = { ...eno1, name: BRIDGE, kind: 'bridge' };

describe('an interface becomes a port of a bridge', () => {
  it('is read with what moves', async () => {
    await expect(`${JSON.stringify(eno1, undefined, 2)}\n`).toMatchFileSnapshot('golden/bridged-read.txt');
    expect(readHostLink('eth9', ADDRESSES, ROUTES4, ROUTES6)).toBeUndefined();
  });

  it('moves, and goes back', async () => {
    const text = ['-- stage', ...stageLines('eno1', moved), '-- undo', ...undoLines('eno1', moved), ''].join('\n');
    await expect(text).toMatchFileSnapshot('golden/bridged-stage-and-undo.txt');
  });

  it('loses nothing on the way: what is taken is given, there and back', () => {
    const [stage, undo] = [stageLines('eno1', moved), undoLines('eno1', moved)];
    for (const what of [...eno1.addresses, ...eno1.routes]) {
      expect(stage.some((line) => line.includes(` ${what} `) && line.includes(BRIDGE))).toBe(true);
      expect(
        undo.some(
          (line) => (line.includes(` ${what} `) && line.endsWith('dev eno1')) || line.includes(`${what} dev eno1`),
        ),
      ).toBe(true);
    }
    // What the kernel may refuse comes before anything is taken away.
    const taken = stage.findIndex((line) => / del /.test(line));
    expect(stage.findIndex((line) => line.includes('master'))).toBeLessThan(taken);
  });
});

describe('what somebody changes is repaired', () => {
  it('nothing, while it is whole', () => {
    expect(repairLines(moved, port, bridge)).toEqual([]);
    expect(isStaged(moved, port, bridge)).toBe(true);
  });

  it.each<[string, HostLink | undefined, HostLink | undefined, string[]]>([
    ['an interface that is gone', undefined, bridge, []],
    ['a port taken out', { ...port, master: undefined }, bridge, [`link set dev eno1 master ${BRIDGE}`]],
    ['an interface that is down', { ...port, isUp: false }, bridge, ['link set dev eno1 up']],
    [
      'an address that a DHCP client gives it again',
      { ...port, addresses: ['192.168.1.5/24'], routes: ['0.0.0.0/0 via 192.168.1.1'] },
      bridge,
      [
        'route del 0.0.0.0/0 via 192.168.1.1 dev eno1',
        'address del 192.168.1.5/24 dev eno1',
        `address add 192.168.1.5/24 brd + dev ${BRIDGE}`,
        `route replace 0.0.0.0/0 via 192.168.1.1 dev ${BRIDGE}`,
      ],
    ],
    [
      'a bridge that is gone',
      { ...eno1, master: undefined, addresses: [], routes: [] },
      undefined,
      stageLines('eno1', moved),
    ],
    ['a host that was restarted', eno1, undefined, stageLines('eno1', moved)],
  ])('%s', (_, parent, there, lines) => {
    expect(repairLines(moved, parent, there)).toEqual(lines);
    expect(isStaged(moved, parent, there)).toBe(false);
  });

  it('a bridge that is down gets its routes again', () => {
    const lines = repairLines(moved, port, { ...bridge, isUp: false });
    expect(lines[0]).toBe(`link set dev ${BRIDGE} up`);
    expect(lines).toHaveLength(1 + moved.routes.length);
  });
});

describe('refused', () => {
  it.each<[string, Partial<HostLink>, boolean, string]>([
    ['a tunnel', { linkType: 'none' }, false, 'invalid: eno1 can not be bridged: it carries no Ethernet frames'],
    ['the loopback', { linkType: 'loopback' }, false, 'invalid: eno1 can not be bridged: it carries no Ethernet'],
    ['Wi-Fi', {}, true, 'invalid: eno1 can not be bridged: Wi-Fi'],
    ['a port of a bridge', { master: 'br0' }, false, 'in-use: eno1 can not be bridged: it is part of br0'],
    ['a bridge', { kind: 'bridge' }, false, 'invalid: eno1 can not be bridged: it is a bridge'],
    [
      'one of ours',
      { name: 'skmaint0a1b2c3d' },
      false,
      'in-use: skmaint0a1b2c3d can not be bridged: it is one of ours',
    ],
    ['a strange name', { name: 'a#b' }, false, 'invalid: a#b can not be bridged: its name'],
    ['multipath', { hasMultipath: true }, false, 'unsupported: eno1 can not be bridged: one of its routes'],
  ])('%s', (_, change, isWireless, message) => {
    let said = 'nothing';
    try {
      checkHostLink({ ...eno1, ...change }, isWireless);
    } catch (error) {
      const { code, message: text, remedy } = error as { code: string; message: string; remedy: string };
      expect(remedy).toMatch(/\S/);
      said = `${code}: ${text}`;
    }
    expect(said).toContain(message);
  });

  it('what can be bridged is not', () => {
    for (const kind of ['', 'veth', 'vlan', 'bond'])
      expect(() => checkHostLink({ ...eno1, kind }, false)).not.toThrow();
  });
});
