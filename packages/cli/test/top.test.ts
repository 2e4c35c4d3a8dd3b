import type { HostUsage, VmUsage } from '@skerry/api';
import * as fc from '@skerry/testkit/properties';
import { describe, expect, test } from 'vitest';
import { ratesOf, sorted } from '../src/commands/top/rates.ts';
import { topLines } from '../src/commands/top/view.ts';
import { widthOf } from '../src/tables/index.ts';

const MIB = 2 ** 20;

const vm = (name: string, usage: Partial<VmUsage> = {}): VmUsage => ({
  id: name,
  name,
  state: 'running',
  cpuMs: 1000,
  pssBytes: 20 * MIB,
  privateBytes: 15 * MIB,
  sharedBytes: 60 * MIB,
  diskReadBytes: 0,
  diskWrittenBytes: 0,
  receivedBytes: 0,
  sentBytes: 0,
  ...usage,
});
const host = (atMs: number, vms: VmUsage[], usage: Partial<HostUsage> = {}): HostUsage => ({
  atMs,
  cpus: 2,
  cpuBusyMs: 0,
  memoryTotalBytes: 8 * 2 ** 30,
  memoryAvailableBytes: 6 * 2 ** 30,
  templateBytes: 128 * MIB,
  pools: [{ image: 'micro', size: 5, ready: 4 }],
  vms,
  ...usage,
});

describe('rates', () => {
  test('are what came between two looks, per second', () => {
    const before = host(5000, [vm('web', { cpuMs: 100, diskReadBytes: 10, sentBytes: 7 })], { cpuBusyMs: 10_000 });
    const now = host(
      5500,
      [vm('web', { cpuMs: 600, diskReadBytes: 1010, diskWrittenBytes: 4096, receivedBytes: 50, sentBytes: 7 })],
      { cpuBusyMs: 10_250 },
    );
    expect(ratesOf(before, now)).toMatchObject({
      overMs: 500,
      cpuPercent: 25,
      vms: [
        {
          cpuPercent: 100,
          diskReadBytesPerS: 2000,
          diskWrittenBytesPerS: 8192,
          receivedBytesPerS: 100,
          sentBytesPerS: 0,
          pssBytes: 20 * MIB,
        },
      ],
    });
  });

  test('are not known after one look, of a VM that is new, and between looks of the same instant', () => {
    const unknown = { cpuPercent: undefined, sentBytesPerS: undefined, pssBytes: 20 * MIB };
    const now = host(1000, [vm('web')]);
    expect(ratesOf(undefined, now)).toMatchObject({ overMs: undefined, cpuPercent: undefined, vms: [unknown] });
    expect(ratesOf(host(1000, [vm('web')]), now).vms).toMatchObject([unknown]);
    expect(ratesOf(host(0, [vm('other')]), now).vms).toMatchObject([unknown]);
  });

  test('a counter that began anew counts from there', () => {
    const before = host(0, [vm('web', { cpuMs: 9000, receivedBytes: 1_000_000 })]);
    const { vms } = ratesOf(before, host(1000, [vm('web', { cpuMs: 250, receivedBytes: 300 })]));
    expect(vms).toMatchObject([{ cpuPercent: 25, receivedBytesPerS: 300 }]);
  });

  test('a host is never busier than it is', () => {
    expect(ratesOf(host(0, []), host(1000, [], { cpuBusyMs: 2010 })).cpuPercent).toBe(100);
    expect(ratesOf(host(0, [], { cpuBusyMs: 5 }), host(1000, [])).cpuPercent).toBe(0);
  });

  test('sort: the most first, equals by name as people count', () => {
    const before = host(0, [vm('w-10'), vm('w-2'), vm('big'), vm('busy'), vm('net'), vm('disk')]);
    const now = host(1000, [
      vm('w-10'),
      vm('w-2'),
      vm('big', { pssBytes: 90 * MIB }),
      vm('busy', { cpuMs: 1500 }),
      vm('net', { sentBytes: 9 }),
      vm('disk', { diskReadBytes: 9 }),
    ]);
    const order = (key: Parameters<typeof sorted>[1]) => sorted(ratesOf(before, now).vms, key).map(({ name }) => name);
    expect(order('cpu')).toEqual(['busy', 'big', 'disk', 'net', 'w-2', 'w-10']);
    expect(order('memory')[0]).toBe('big');
    expect(order('network')[0]).toBe('net');
    expect(order('disk')[0]).toBe('disk');
    expect(order('name')).toEqual(['big', 'busy', 'disk', 'net', 'w-2', 'w-10']);
  });
});

describe('the view', () => {
  const rates = ratesOf(
    host(0, [vm('web'), vm('shop/cache')]),
    host(1000, [vm('web', { cpuMs: 1123, receivedBytes: 5000 }), vm('shop/cache', { state: 'paused' })], {
      cpuBusyMs: 500,
    }),
  );

  test('as printed', () => {
    expect(topLines(rates, { sort: 'cpu' }).join('\n')).toMatchInlineSnapshot(`
      "host: cpu 25.0% of 2, memory 2Gi of 8Gi
      2 VMs: PSS 40Mi, private 30Mi; templates: 128Mi; pools: micro 4/5

      NAME        STATE    CPU%    PSS   PRIVATE  SHARED  READ/s  WRITE/s  RECV/s  SENT/s
      web         running    12.3  20Mi  15Mi     60Mi    0B      0B       4.9Ki   0B
      shop/cache  paused      0.0  20Mi  15Mi     60Mi    0B      0B       0B      0B"
    `);
  });

  test('on a terminal: keys below, and what does not fit is counted', () => {
    const many = ratesOf(
      undefined,
      host(
        0,
        Array.from({ length: 50 }, (_, index) => vm(`vm-${index}`)),
      ),
    );
    const lines = topLines(many, { sort: 'memory', size: { columns: 100, rows: 12 } });
    expect(lines).toHaveLength(12);
    expect(lines.at(-1)).toMatch(/^sort: c cpu  m \[memory\]  n network .* q quits$/);
    expect(lines.at(-2)).toBe('... and 44 more');
    expect(topLines(rates, { sort: 'cpu', size: { columns: 100, rows: 40 } }).join()).not.toContain('more');
  });

  test('a narrow one loses the columns that tell least', () => {
    const titles = (columns: number) => topLines(rates, { sort: 'cpu', size: { columns, rows: 20 } })[3]?.split(/ +/);
    expect(titles(200)).toEqual([
      'NAME',
      'STATE',
      'CPU%',
      'PSS',
      'PRIVATE',
      'SHARED',
      'READ/s',
      'WRITE/s',
      'RECV/s',
      'SENT/s',
    ]);
    expect(titles(76)).not.toContain('SHARED');
    expect(titles(30)).toEqual(['NAME', 'CPU%', 'PSS']);
  });

  test('no line is ever wider or lower than the terminal', () => {
    const name = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 70 });
    fc.assert(
      fc.property(
        fc.array(name),
        fc.integer({ min: 1, max: 150 }),
        fc.integer({ min: 1, max: 40 }),
        (names, columns, rows) => {
          const lines = topLines(
            ratesOf(
              undefined,
              host(
                0,
                names.map((each) => vm(each)),
              ),
            ),
            {
              sort: 'name',
              size: { columns, rows },
            },
          );
          expect(lines.length).toBeLessThanOrEqual(rows);
          for (const line of lines) expect(widthOf(line)).toBeLessThanOrEqual(columns);
        },
      ),
      { numRuns: 200 },
    );
  });
});
