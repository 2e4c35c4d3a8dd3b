import * as fc from '@skerry/testkit/properties';
import { describe, expect, it } from 'vitest';
import type { Impairment, NodeSpec } from '@skerry/api';
import { checkDeclaredImpairments } from '../../../src/networks/impair-check-plan.ts';
import type { PortImpairment } from '@skerry/switch';
import { readQueues } from '../../../src/networks/kernel/actual-model.ts';
import { queueLeases, vmsAt } from '../../../src/networks/kernel/queue-lease-plan.ts';
import { isQueue, queueLine, queueOf, readQueue, type QueueWish } from '../../../src/networks/kernel/queue-plan.ts';
import { assertImpairable, assertNicSupported } from '../../../src/networks/kernel/support-plan.ts';
import { SUPPORT } from './hosts.ts';
import { HOST, networkOf, nicOf, vmOf } from './networks.ts';

const wish = (impairments: readonly Impairment[], changes: Partial<QueueWish> = {}): QueueWish => ({
  impairments: impairments.map((out) => ({ out, seed: 7 })),
  direction: 'out',
  seedName: 'shop/web/0',
  seeds: false,
  ...changes,
});

const WISHES: Readonly<Record<string, QueueWish>> = {
  nothing: wish([]),
  'a rate of the NIC': wish([], { rateKbit: 20_000 }),
  'a rate': wish([{ rateKbit: 20_000 }]),
  'a low rate': wish([{ rateKbit: 8 }]),
  'the lower of two rates': wish([{ rateKbit: 20_000 }], { rateKbit: 5000 }),
  'a delay': wish([{ delayMs: 20 }]),
  'delay and jitter': wish([{ delayMs: 20, jitterMs: 2 }]),
  'jitter alone': wish([{ jitterMs: 2 }]),
  'a delay below a millisecond': wish([{ delayMs: 0.25 }]),
  'a long delay': wish([{ delayMs: 60_000 }]),
  loss: wish([{ loss: 0.01 }]),
  'all lost': wish([{ loss: 1 }]),
  'a third lost': wish([{ loss: 1 / 3 }]),
  'a little lost': wish([{ loss: 0.000001 }]),
  duplicates: wish([{ duplicate: 0.05 }]),
  damage: wish([{ corrupt: 0.001 }]),
  'order beside a delay': wish([{ delayMs: 20, reorder: 0.25 }]),
  'order without a delay': wish([{ reorder: 0.25 }]),
  'all out of order': wish([{ reorder: 1 }]),
  'all of it': wish([
    { delayMs: 20, jitterMs: 2, loss: 0.01, duplicate: 0.02, reorder: 0.03, corrupt: 0.04, rateKbit: 20_000 },
  ]),
  'a delay at a rate of the NIC': wish([{ delayMs: 100 }], { rateKbit: 10_000 }),
  'two at once': wish([
    { delayMs: 10, jitterMs: 1, loss: 0.1 },
    { delayMs: 5, loss: 0.5, duplicate: 0.1, rateKbit: 9000 },
  ]),
  'a seed': wish([{ loss: 0.5 }], { seeds: true }),
  'the same seed, the other way': wish([], {
    seeds: true,
    direction: 'in',
    impairments: [{ in: { loss: 0.5 }, seed: 7 }],
  }),
  'the same seed, another NIC': wish([{ loss: 0.5 }], { seeds: true, seedName: 'shop/db/0' }),
  'the other direction': wish([], { impairments: [{ in: { loss: 0.5 }, seed: 7 }] }),
  'a cable that is out': wish([], { impairments: [{ down: true, seed: 7 }] }),
};

/** Of tc 6.1 on Linux 6.1 (`npm run soak -- kernel-features`). */
const TOLD = [
  {
    queue: queueOf(wish([{ delayMs: 20, jitterMs: 2, loss: 0.01, corrupt: 0.005 }])),
    options: {
      limit: 2725,
      delay: { delay: 0.02, jitter: 0.002, correlation: 0 },
      'loss-random': { loss: 0.01, correlation: 0 },
      corrupt: { corrupt: 0.005, correlation: 0 },
      rate: { rate: 12_500_000_000, packetoverhead: 0, cellsize: 0, celloverhead: 0 },
      ecn: false,
      gap: 0,
    },
  },
  {
    queue: queueOf(wish([{ loss: 1 / 30, rateKbit: 20_000 }])),
    options: {
      limit: 496,
      'loss-random': { loss: 0.0333333, correlation: 0 },
      rate: { rate: 2_500_000, packetoverhead: 0, cellsize: 0, celloverhead: 0 },
      ecn: false,
      gap: 0,
    },
  },
  {
    queue: queueOf(wish([{ delayMs: 12_345.678, reorder: 0.25, rateKbit: 20_000 }])),
    options: {
      limit: 4096,
      delay: { delay: 12.3457, jitter: 0, correlation: 0 },
      reorder: { reorder: 0.25, correlation: 0 },
      rate: { rate: 2_500_000, packetoverhead: 0, cellsize: 0, celloverhead: 0 },
      ecn: false,
      gap: 1,
    },
  },
];

const share = fc.double({ min: 0, max: 1, noNaN: true });
const impairment = fc.record(
  {
    delayMs: fc.double({ min: 0, max: 60_000, noNaN: true }),
    jitterMs: fc.double({ min: 0, max: 60_000, noNaN: true }),
    loss: share,
    duplicate: share,
    corrupt: share,
    reorder: share,
    rateKbit: fc.integer({ min: 8, max: 100_000_000 }),
  },
  { requiredKeys: [] },
);

describe('queueOf', () => {
  it('plans each wish as one line for tc', async () => {
    const lines = Object.entries(WISHES).map(([name, each]) => {
      const queue = queueOf(each);
      return `${name}: ${queue === undefined ? '-' : queueLine('skmaini32e97380', queue)}`;
    });
    await expect(`${lines.join('\n')}\n`).toMatchFileSnapshot('golden/queues.txt');
  });

  it('stays within what tc takes', () => {
    fc.assert(
      fc.property(fc.array(impairment, { maxLength: 4 }), (impairments) => {
        const queue = queueOf(wish(impairments as Impairment[], { seeds: true }));
        if (queue?.kind !== 'netem') return;
        expect(queueLine('x', queue)).toMatch(
          /^qdisc replace dev x root netem limit \d+ delay \d+us \d+us( \w+ [\d.]+%){4} rate \d+kbit seed \d+$/,
        );
        for (const word of ['loss', 'duplicate', 'corrupt', 'reorder'] as const) {
          expect(queue[word]).toBeGreaterThanOrEqual(0);
          expect(queue[word]).toBeLessThanOrEqual(1);
        }
        // "reordering not possible without specifying some delay" (q_netem.c)
        if (queue.reorder > 0) expect(queue.delayUs).toBeGreaterThan(0);
        expect(queue.limit).toBeLessThanOrEqual(4096);
      }),
      { seed: 5 },
    );
  });
});

describe('what tc tells', () => {
  it('is recognised', () => {
    for (const { queue, options } of TOLD) expect(isQueue(queue, readQueue('netem', options))).toBe(true);
    const [first, second, third] = TOLD.map(({ queue }) => queue);
    expect([first, second, third].filter((queue) => isQueue(queue, readQueue('netem', TOLD[0]!.options)))).toEqual([
      first,
    ]);
  });

  it('differs in each field that matters', () => {
    const queue = queueOf(wish([{ delayMs: 20, loss: 0.01 }], { seeds: true }))!;
    for (const change of [
      { limit: 1 },
      { delayUs: 19_000 },
      { jitterUs: 50 },
      { loss: 0.011 },
      { rateKbit: 8 },
      { seed: 1 },
    ])
      expect(isQueue(queue, { ...queue, ...change } as typeof queue)).toBe(false);
    expect(isQueue(queue, undefined)).toBe(false);
    expect(isQueue(undefined, undefined)).toBe(true);
    expect(isQueue(undefined, readQueue('fq_codel', {}))).toBe(true);
  });

  it('is of the root alone', () => {
    const output = [
      { kind: 'tbf', dev: 'skmaint1', root: true, options: { rate: 2_500_000, burst: 25_000, lat: 50_000 } },
      { kind: 'ingress', dev: 'skmaint1', parent: 'ffff:fff1' },
      { kind: 'netem', dev: 'skmaint1', parent: '8001:', options: { limit: 1 } },
      { kind: 'netem', dev: 'eth0', root: true, options: { limit: 1 } },
    ];
    expect([...readQueues(output, 'skmain')]).toEqual([
      ['skmaint1', { queue: { kind: 'tbf', rateKbit: 20_000 }, ingress: true }],
    ]);
  });
});

describe('leases of queues', () => {
  const soon: PortImpairment = { out: { delayMs: 20 }, in: { delayMs: 20 }, seed: 1, untilMs: 2000 };
  const later: PortImpairment = { out: { loss: 0.5 }, seed: 2, untilMs: 3000 };
  const forever: PortImpairment = { in: { rateKbit: 9000 }, seed: 3 };
  const cable: PortImpairment = { down: true, seed: 4, untilMs: 2500 };
  const web = vmOf('web', [nicOf(0, 10, { impairments: [soon, later, forever, cable] })]);
  const db = vmOf('db', [nicOf(1, 11, { impairments: [soon], rateKbit: 5000 })]);
  const networks = [networkOf(0, 'nat'), networkOf(1, 'isolated')];

  it('say what is left at each end', async () => {
    const leases = queueLeases(networks, [web, db], HOST, 1000);
    const text = leases.flatMap(({ netns = 'host', atMs, lines }) => lines.map((line) => `${atMs} ${netns}: ${line}`));
    await expect(`${text.join('\n')}\n`).toMatchFileSnapshot('golden/queue-leases.txt');
    expect(new Set(leases.map(({ name }) => name)).size).toBe(3);
  });

  it('are the same for the next daemon, and none once all is over', () => {
    const names = (nowMs: number) => queueLeases(networks, [web, db], HOST, nowMs).map(({ name }) => name);
    expect(names(1500)).toEqual(names(1000));
    expect(names(2000)).toEqual(names(1000).slice(1, 2));
    expect(names(3000)).toEqual([]);
    expect(vmsAt([web], 2000)[0]!.nics[0]!.impairments).toEqual([later, forever, cable]);
  });
});

describe('what a node says of its wires', () => {
  const impair = [{ nic: 'web:eth1', dir: 'both' as const, impairment: { loss: 0.1 } }];
  const vms = { web: { nics: [{ network: 'a' }, { network: 'b' }] } } as unknown as NodeSpec['vms'];
  const check = (datapath: 'user' | 'kernel', netem: boolean) => () =>
    checkDeclaredImpairments(
      { vms, impair, networks: { a: {}, b: { datapath } } as unknown as NodeSpec['networks'] },
      { kernel: { ...SUPPORT, netem }, kernelLack: undefined },
    );
  it('is refused where the kernel is to do it and can not', () => {
    expect(check('kernel', false)).toThrow('the kernel has no netem');
    expect(check('kernel', true)).not.toThrow();
    expect(check('user', false)).not.toThrow();
  });
});

describe('a kernel that can not', () => {
  const refused = (impairment: Impairment, changes: Partial<typeof SUPPORT>, isSeeded = false): string => {
    try {
      assertImpairable([{ impairment, isSeeded }], { ...SUPPORT, ...changes });
      return 'taken';
    } catch (error) {
      const { message, remedy } = error as { message: string; remedy: string };
      return `${message} | ${remedy.replace(/ Or use a network.*/, '')}`;
    }
  };
  it('refuses, and says what to type', () => {
    const all = { netem: true, netemSeed: true, ifb: true };
    expect(refused({ delayMs: 1 }, all, true)).toBe('taken');
    expect(refused({ rateKbit: 9000 }, { netem: false })).toBe('taken');
    expect(refused({ delayMs: 1 }, { netem: false })).toBe(
      "The kernel datapath can't do it here: the kernel has no netem | modprobe sch_netem, then skerry host doctor.",
    );
    expect(refused({ rateKbit: 9000 }, { tbf: false })).toContain('modprobe sch_tbf');
    expect(refused({ loss: 1 }, { ...all, ifb: false })).toContain('modprobe ifb');
    expect(refused({ loss: 1 }, { ...all, netemSeed: false }, true)).toContain('takes no seed');
    expect(refused({ loss: 1 }, { ...all, netemSeed: false })).toBe('taken');
    expect(refused({ rateKbit: 9 }, { ...all, netemSeed: false }, true)).toBe('taken');
  });

  it('refuses VLANs that it can not keep apart', () => {
    const acl = { default: 'deny' as const, rules: [] };
    const trunk = [{ from: 10, to: 20 }];
    const filtering = { ...SUPPORT, vlanFiltering: true };
    expect(() => assertNicSupported({ trunk }, {}, SUPPORT)).toThrow("can't carry VLANs");
    expect(() => assertNicSupported({ trunk }, { acl }, filtering)).toThrow('does not see');
    expect(() => assertNicSupported({ trunk: [{ from: 1, to: 4094 }] }, {}, filtering)).toThrow('4094');
    expect(() => assertNicSupported({ vlan: 4094 }, {}, filtering)).toThrow('4094');
    expect(() => assertNicSupported({ vlan: 4094 }, {}, SUPPORT)).not.toThrow();
    expect(() => assertNicSupported({ trunk }, {}, filtering)).not.toThrow();
  });
});
