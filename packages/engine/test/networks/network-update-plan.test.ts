import { NetworkSpec, NodeNetwork, type Network, type NetworkSpecInput } from '@skerry/api';
import * as fc from '@skerry/testkit/properties';
import { describe, expect, test } from 'vitest';
import { planNetwork, planUpdate, type NetworkFacts } from '../../src/networks/index.ts';
import { networkSpecOf } from '../../src/nodes/index.ts';

/** A network that is there, and another declaration of it. */

const FACTS: NetworkFacts = { networks: [], routes: [], routes6: [], interfaces: ['eth0'], kernelLack: undefined };
const made = (input: NetworkSpecInput): Network =>
  ({ name: 'dev', ...planNetwork(NetworkSpec.parse(input), FACTS) }) as never;
const BEFORE: NetworkSpecInput = { mode: 'nat', subnet: '10.9.0.0/24', domain: 'shop' };

function outcome(declared: NetworkSpecInput, before: NetworkSpecInput = BEFORE): unknown {
  try {
    return planUpdate(made(before), NetworkSpec.parse(declared)).changed;
  } catch (error) {
    const { code, message, remedy } = error as { code: string; message: string; remedy: string };
    expect(remedy).toMatch(/\S/);
    return `${code}: ${message}`;
  }
}

const rule = { action: 'deny', from: 'shop/web' } as const;
const forward = { hostPort: 8080, vm: 'shop/web', guestPort: 80 };

test.each<[NetworkSpecInput, unknown]>([
  [{}, []],
  [{ subnet: '10.9.0.9/24' }, []],
  [{ forwards: [], routes: [] }, []],
  [{ mode: 'isolated' }, ['mode']],
  [{ acl: { rules: [rule] }, forwards: [forward] }, ['forwards', 'acl']],
  [{ mtu: 1400, domain: 'other' }, ['domain', 'mtu']],
  [{ routes: [{ to: '10.0.0.0/8', via: '10.9.0.2' }] }, ['routes']],
  [{ routes: [{ to: '10.0.0.0/8', via: '10.8.0.2' }] }, 'invalid: 10.8.0.2 is no next hop in 10.9.0.0/24'],
  [{ acl: { rules: [{ ...rule, ports: { from: 1, to: 1 } }] } }, 'invalid: Ports belong to TCP or UDP'],
  [{ forwards: [forward, forward] }, 'in-use: Port 8080 of 127.0.0.1 leads to shop/web:80 already'],
  [{ domain: 'A B' }, "invalid: 'A B' is no domain"],
  [{ subnet: '10.8.0.0/24' }, "unsupported: subnet of the network dev can't be changed: it would be another"],
  [{ subnet: '10.9.0.0/25' }, "unsupported: subnet of the network dev can't be changed: it would be another"],
  [{ datapath: 'kernel' }, "unsupported: datapath of the network dev can't be changed: it would be another"],
  [{ mode: 'overlay', vni: 9 }, "unsupported: mode, vni of the network dev can't be changed: it would be another"],
])('%j: %j', (change, expected) => {
  expect(outcome({ ...BEFORE, ...change })).toEqual(expected);
});

test('what was left out goes', () => {
  const before = { ...BEFORE, mtu: 1400, acl: { rules: [rule] }, forwards: [forward] };
  expect(outcome(BEFORE, before)).toEqual(['mtu', 'forwards', 'acl']);
  expect(outcome({ mode: 'nat', domain: 'shop' })).toEqual([]);
  expect(outcome(BEFORE, { ...BEFORE, ipv6: 'fd00:1::/64', datapath: 'kernel' })).toMatch(/^unsupported: ipv6 of/);
});

describe('of a node', () => {
  const vm = fc.constantFrom('web', 'db', 'other/web', '10.1.0.0/16', 'any');
  const network = fc.record(
    {
      mode: fc.constantFrom('nat' as const, 'isolated' as const, 'host-only' as const),
      egress: fc.boolean(),
      subnet: fc.constantFrom('10.9.0.0/24', '10.9.0.7/24'),
      mtu: fc.integer({ min: 576, max: 9216 }),
      acl: fc.record({
        default: fc.constantFrom('allow' as const, 'deny' as const),
        rules: fc.array(
          fc.record({
            action: fc.constantFrom('allow' as const, 'deny' as const),
            from: vm,
            to: vm,
            nic: fc.constantFrom('web:eth0', 'other/web:eth1'),
          }),
          { maxLength: 5 },
        ),
      }),
      forwards: fc.uniqueArray(
        fc.record({
          hostPort: fc.integer({ min: 1, max: 9 }),
          vm: fc.constantFrom('web', 'db'),
          guestPort: fc.constant(80),
        }),
        {
          selector: ({ hostPort }) => hostPort,
        },
      ),
      routes: fc.uniqueArray(
        fc.integer({ min: 1, max: 8 }).map((n) => ({ to: `10.${n}.3.3/16`, via: '10.9.0.9' })),
        { selector: ({ to }) => to },
      ),
    },
    { requiredKeys: ['subnet'] },
  );

  test('what is declared once more changes nothing, and what is declared is what there is then', () => {
    fc.assert(
      fc.property(network, network, (first, second) => {
        const [before, after] = [first, second].map((each) => networkSpecOf('shop', NodeNetwork.parse(each)));
        if (before === undefined || after === undefined) throw new Error('none');
        expect(planUpdate(made(before), before).changed).toEqual([]);
        const { spec, changed } = planUpdate(made(before), after);
        const updated = { ...made(before), spec };
        expect(planUpdate(updated, after).changed).toEqual([]);
        expect(changed.length === 0 || planUpdate(updated, before).changed.length > 0).toBe(true);
        expect(spec.forwards ?? []).toEqual(
          (after.forwards ?? []).map((each) => ({ ...each, vm: expect.stringMatching(/^shop\/(web|db)$/) })),
        );
      }),
    );
  });

  test('its VMs are named as they are inside, those of others in full', () => {
    const declared = NodeNetwork.parse({
      acl: {
        rules: [
          { action: 'deny', from: 'web', to: 'other/db', nic: 'web:eth0' },
          { action: 'allow', from: '10.0.0.1', to: 'any', nic: 'x/y:eth1' },
        ],
      },
      forwards: [{ hostPort: 1, vm: 'web', guestPort: 2 }],
      egress: false,
    });
    expect(networkSpecOf('shop', declared)).toEqual({
      mode: 'isolated',
      domain: 'shop',
      acl: {
        default: 'allow',
        rules: [
          { action: 'deny', from: 'shop/web', to: 'other/db', nic: 'shop/web:eth0' },
          { action: 'allow', from: '10.0.0.1', to: 'any', nic: 'x/y:eth1' },
        ],
      },
      forwards: [{ hostAddress: '127.0.0.1', hostPort: 1, vm: 'shop/web', guestPort: 2, protocol: 'tcp' }],
    });
  });
});
