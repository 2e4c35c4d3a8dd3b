import { describe, expect, it } from 'vitest';
import { dockerRules, dockerSteps, ownBridges, uplinksOf } from '../../../src/networks/kernel/docker-plan.ts';
import { foreignDoctorItem, foreignFilters, lackBy } from '../../../src/networks/kernel/foreign-plan.ts';
import { placesOf } from '../../../src/networks/kernel/places-plan.ts';
import { HOST, networkOf } from './networks.ts';

const BRIDGES = ownBridges(
  placesOf(
    [networkOf(0, 'nat'), networkOf(1, 'host-only'), networkOf(2, 'isolated'), networkOf(3, 'bridged')],
    [],
    HOST,
  ),
);
const chains = (...all: object[]) => ({ nftables: [{ metainfo: {} }, ...all.map((chain) => ({ chain }))] });
const base = { family: 'ip', table: 'filter', name: 'FORWARD', hook: 'forward', policy: 'drop' };
const docker = { family: 'ip', table: 'filter', name: 'DOCKER-USER' };

describe('what Docker is told of our bridges', () => {
  it('is to let each pass what it passes on, and nothing to its containers', () => {
    const [nat, hostOnly, lan] = BRIDGES.map(({ name }) => name);
    expect(BRIDGES.map(({ leads }) => leads)).toEqual(['out', 'nowhere', 'lan']);
    const end = '-m comment --comment skerry-main -j ACCEPT';
    expect(dockerRules(BRIDGES, ['eth0', 'wg0'], 'main')).toEqual([
      `-i ${nat} -o ${nat} ${end}`,
      `-i ${nat} -o eth0 ${end}`,
      `-i ${nat} -o wg0 ${end}`,
      `-o ${nat} -m conntrack --ctstate RELATED,ESTABLISHED,DNAT ${end}`,
      `-i ${hostOnly} -o ${hostOnly} ${end}`,
      `-o ${hostOnly} -m conntrack --ctstate RELATED,ESTABLISHED,DNAT ${end}`,
      `-i ${lan} -o ${lan} ${end}`,
    ]);
  });

  it('comes behind what others say there and before the end, and goes alone', () => {
    const rule = (name: string, tag = 'main') => `-i ${name} -o ${name} -m comment --comment skerry-${tag} -j ACCEPT`;
    const listed = (...rules: string[]) =>
      ['-N DOCKER-USER', ...rules.map((each) => `-A DOCKER-USER ${each}`), ''].join('\n');
    const before = listed('-s 203.0.113.9/32 -j DROP', rule('other', '3f0a'), '-j RETURN');
    expect(dockerSteps([rule('a'), rule('b')], before, 'main').map((step) => step.slice(0, 5))).toEqual([
      ['-I', 'DOCKER-USER', '3', '-i', 'a'],
      ['-I', 'DOCKER-USER', '4', '-i', 'b'],
    ]);
    const after = listed(
      '-s 203.0.113.9/32 -j DROP',
      rule('other', '3f0a'),
      rule('a'),
      rule('a'),
      rule('b'),
      '-j RETURN',
    );
    expect(dockerSteps([rule('a'), rule('b')], after, 'main').map((step) => step.slice(0, 4))).toEqual([
      ['-D', 'DOCKER-USER', '-i', 'a'],
    ]);
    expect(dockerSteps([], after, 'main').map((step) => step[3])).toEqual(['a', 'a', 'b']);
    expect(dockerSteps([rule('a')], listed(), 'main')[0]?.slice(0, 3)).toEqual(['-I', 'DOCKER-USER', '1']);
    expect(dockerSteps([], listed('-j RETURN'), 'main')).toEqual([]);
  });

  it('leads out by what others are reached by: no bridge, unless it has the default route', () => {
    const links = [
      { ifname: 'docker0', linkinfo: { info_kind: 'bridge' } },
      { ifname: 'br0', linkinfo: { info_kind: 'bridge' } },
      { ifname: 'wg0' },
    ];
    const routes = [
      { dst: 'default', dev: 'br0' },
      { dst: '10.8.0.0/24', dev: 'wg0' },
      { dst: '172.17.0.0/16', dev: 'docker0' },
      { dst: 'default', nexthops: [{ dev: 'eth1' }, { dev: 'odd+' }] },
    ];
    expect(uplinksOf(routes, links)).toEqual(['br0', 'eth1', 'wg0']);
  });
});

describe('filters of others', () => {
  it('are those that drop what is passed on, but for ours and for Docker, which is told', () => {
    const own = { family: 'inet', table: 'skerry', name: 'forward', hook: 'forward', policy: 'drop' };
    expect(foreignFilters(chains(base, docker, own), 'main', 'b')).toEqual({
      docker: { ip: true, ip6: false },
      blockers: [],
    });
    expect(
      foreignFilters(chains({ ...base, policy: 'accept' }, { ...base, hook: 'input' }), 'main', 'b').blockers,
    ).toEqual([]);
    expect(foreignFilters(undefined, 'main', 'b').blockers).toEqual([]);
  });

  it('are named, with what to type', () => {
    const mine = { family: 'inet', table: 'mine', name: 'fwd', hook: 'forward', policy: 'drop' };
    const found = foreignFilters(chains(mine), 'main', 'skmainb0');
    expect(lackBy(found)).toBe(
      'this host\'s own filter (inet mine fwd) may drop what it passes on; type: nft insert rule inet mine fwd iifname "skmainb0" accept && nft insert rule inet mine fwd oifname "skmainb0" accept',
    );
    expect(foreignDoctorItem(found)).toMatchObject({ state: 'limited', found: 'inet mine fwd' });
    const remedies = (...all: object[]) =>
      foreignFilters(chains(...all), 'main', 'b').blockers.map(({ remedy }) => remedy);
    expect(remedies(base, { family: 'ip', table: 'filter', name: 'ufw-user-forward' })).toEqual([
      'ufw route allow in on b && ufw route allow out on b',
    ]);
    expect(
      remedies({ family: 'inet', table: 'firewalld', name: 'filter_FORWARD', hook: 'forward', policy: 'accept' }),
    ).toEqual([
      'firewall-cmd --zone=trusted --add-interface=b && firewall-cmd --permanent --zone=trusted --add-interface=b',
    ]);
    expect(lackBy(foreignFilters(chains(), 'main', 'b'))).toBeUndefined();
  });
});
