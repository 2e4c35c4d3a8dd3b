import { linkName, type Network, type Vm } from '@skerry/api';
import { describe, expect, test } from 'vitest';
import { assertWire, endsOf, findLink, isByHand, otherEnd } from '../../src/networks/link-plan.ts';

const nic = (network: string, index?: number) => ({
  network,
  mac: '02:00:00:00:00:01',
  address: '10.214.0.1',
  ...(index === undefined ? {} : { index }),
});
const vm = (name: string, ...nics: Vm['status']['nics']) =>
  ({ id: `id-${name}`, name, status: { nics } }) as unknown as Vm;
const network = (name: string, mode: Network['spec']['mode']) =>
  ({ id: `id-${name}`, name, spec: { mode }, status: { subnet: '10.214.0.0/30' } }) as unknown as Network;

const vms = [vm('web', nic('lan'), nic('wire', 2)), vm('lab/db', nic('lan'), nic('wire')), vm('other', nic('lan'))];
const networks = [network('lan', 'nat'), network('wire', 'link')];

describe('a link', () => {
  test('has the NICs on it as its ends, by their numbers', () => {
    expect(endsOf('wire', vms).map((end) => `${end.vm}:${end.nic}`)).toEqual(['web:eth2', 'lab/db:eth1']);
  });

  test.each(['web:eth2', 'id-web:eth2', 'lab/db:eth1', 'wire', 'id-wire'])('is found as %s', (ref) => {
    expect(findLink(ref, networks, vms).name).toBe('wire');
  });

  test.each([
    ['web:eth0', 'web:eth0 is not the end of a link'],
    ['web:eth1', 'web:eth1 is not the end of a link'],
    ['nobody:eth1', "no VM 'nobody'"],
    ['lan', "no link 'lan'"],
  ])('is not found as %s', (ref, message) => {
    expect(() => findLink(ref, networks, vms)).toThrow(message);
  });
});

test('has an other end, the cable of which may be asked out', () => {
  const asked = vms.map((each) => ({
    ...each,
    spec: { nics: [{ network: 'lan' }, { network: 'wire', link: 'down' }] },
  }));
  const ends = asked as unknown as Vm[];
  expect(otherEnd('wire', 'id-web', ends)).toEqual({ vmId: 'id-lab/db', index: 1, isAskedOut: true });
  expect(otherEnd('wire', 'id-lab/db', ends)).toEqual({ vmId: 'id-web', index: 2, isAskedOut: true });
  expect(otherEnd('wire', 'id-web', ends.slice(0, 1))).toBeUndefined();
});

test("is by hand where no NIC on it is a node's, which has no number", () => {
  const own = (name: string, index?: number) => ({
    ...vm(name, nic('lan'), nic('wire', index)),
    spec: { nics: [{ network: 'lan' }, { network: 'wire', ...(index === undefined ? {} : { index }) }] } as Vm['spec'],
  });
  expect(isByHand('wire', [own('web', 1), own('db', 2)])).toBe(true);
  expect(isByHand('wire', [own('web', 1), own('lab/db')])).toBe(false);
});

test('there is a wire while the machines at both ends run', () => {
  const [lan, wire] = networks as [Network, Network];
  const withStates = (a: string, b: string) =>
    vms.slice(0, 2).map((each, at) => ({ ...each, status: { ...each.status, state: at === 0 ? a : b } })) as Vm[];
  expect(() => assertWire(wire, withStates('running', 'paused'))).not.toThrow();
  expect(() => assertWire(lan, withStates('running', 'stopped'))).not.toThrow();
  expect(() => assertWire(wire, withStates('running', 'stopped'))).toThrow(
    expect.objectContaining({ code: 'wrong-state', remedy: expect.stringContaining('skerry start lab/db') }),
  );
  expect(() => assertWire(wire, withStates('running', 'running').slice(0, 1))).toThrow(
    expect.objectContaining({ code: 'wrong-state', remedy: expect.stringContaining('anew') }),
  );
});

test('the name of a link is a name, however long those of its VMs are', () => {
  expect(linkName('web:eth1', 'lab/db:eth1')).toBe('web-eth1-lab-db-eth1');
  const long = 'a'.repeat(63);
  const name = linkName(`${long}/${long}:eth1`, `${long}:eth1`);
  expect(name).toMatch(/^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])$/);
  expect(linkName(`${long}/${long}:eth1`, `${long}:eth2`)).not.toBe(name);
});
