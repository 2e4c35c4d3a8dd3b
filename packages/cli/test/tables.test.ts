import type { Vm } from '@skerry/api';
import { describe, expect, test } from 'vitest';
import { vmOf } from '@skerry/testkit/contract-server';
import { vmLines } from '../src/commands/vm-info.ts';
import { parseAnswer } from '../src/hot/ask.ts';
import { renderTable, VM_COLUMNS, waterfall, widthOf } from '../src/tables/index.ts';

const ID = '019a0000-0000-7000-8000-0123456789ab';
const vm = (name: string, spec: Partial<Vm['spec']> = {}, status: Partial<Vm['status']> = {}): Vm => ({
  ...vmOf(name, spec, status),
  id: ID,
  createdAt: '2026-01-01T00:00:00.000Z',
});
const nic = { network: 'default', mac: '52:54:00:00:00:01', address: '10.213.0.5' };
const start = {
  at: '2026-01-01T00:00:00.000Z',
  totalMs: 500,
  phases: [
    { name: 'disk', ms: 50 },
    { name: 'kernel', ms: 400 },
    { name: 'agent', ms: 50 },
  ],
  how: 'cold' as const,
  kernel: 'micro' as const,
  accelerator: 'tcg' as const,
  machine: 'microvm',
};

describe('tables', () => {
  test('of VMs', () => {
    const rows = [
      vm('web-vm', { memoryMib: 2048, cpus: 4 }, { state: 'running', nics: [nic] }),
      vm('shop/cache'),
      vm('x', {}, { state: 'running', health: 'unhealthy' }),
    ];
    expect(renderTable(rows, VM_COLUMNS)).toMatchInlineSnapshot(`
      "ID        NAME        STATE                CPU  MEMORY  ADDRESSES   NODE
      456789ab  web-vm      running              4    2Gi     10.213.0.5  -
      456789ab  shop/cache  stopped              1    128Mi   -           shop
      456789ab  x           running (unhealthy)  1    128Mi   -           -
      "
    `);
  });

  test('of nothing are their heading', () => {
    expect(renderTable([], VM_COLUMNS)).toBe('ID  NAME  STATE  CPU  MEMORY  ADDRESSES  NODE\n');
  });

  test('show a title when there is one, and count its width on the screen', () => {
    const rows = [
      { ...vm('a'), title: '店の前' },
      { ...vm('b'), title: 'plain' },
    ];
    const columns = VM_COLUMNS.filter(({ title }) => ['NAME', 'TITLE'].includes(title));
    expect(renderTable(rows, [...columns.toReversed()])).toBe('TITLE   NAME\n店の前  a\nplain   b\n');
    expect([widthOf('é'), widthOf('e\u0301'), widthOf('店'), widthOf('🙂')]).toEqual([1, 1, 2, 2]);
  });

  test('let no escape sequence of a guest through', () => {
    const rows = [vm('a', {}, { agent: { connected: true, version: '1', kernel: '6.12\u001b]0;owned\u0007\n' } })];
    for (const text of [renderTable(rows, VM_COLUMNS, true), vmLines(rows[0] as Vm).join('\n')]) {
      expect([text.includes('\u001b'), text.includes('\u0007')]).toEqual([false, false]);
    }
  });
});

test('info shows the start phase by phase', () => {
  expect(waterfall(start).join('\n')).toMatchInlineSnapshot(`
    "disk        50.0 ms  ████
    kernel     400.0 ms      ████████████████████████████████
    agent       50.0 ms                                      ████
    total      500.0 ms  (micro kernel, tcg, microvm)"
  `);
  expect(vmLines(vm('web', {}, { state: 'running', start, nics: [nic] })).join('\n')).toMatchInlineSnapshot(`
    "name:      web
    id:        019a0000-0000-7000-8000-0123456789ab
    state:     running
    image:     micro
    cpus:      1
    memory:    128Mi
    nic:       10.213.0.5 on default (52:54:00:00:00:01)
    created:   2026-01-01T00:00:00.000Z

    start at 2026-01-01T00:00:00.000Z:
      disk        50.0 ms  ████
      kernel     400.0 ms      ████████████████████████████████
      agent       50.0 ms                                      ████
      total      500.0 ms  (micro kernel, tcg, microvm)"
  `);
});

test('a start that took no time is drawn all the same', () => {
  expect(waterfall({ ...start, totalMs: 0, phases: [{ name: 'x', ms: 0 }] })[0]).toContain('█');
});

describe('the short way reads', () => {
  const answer = (head: string, body: string): unknown => parseAnswer(Buffer.from(`HTTP/1.1 ${head}\r\n\r\n${body}`));
  test('a whole answer', () => expect(answer('200 OK\r\nContent-Length: 4', '[1] ')).toEqual([1]));
  test.each([
    ['an error', '404 Not Found\r\ncontent-length: 2', '[]'],
    ['an answer that was cut', '200 OK\r\ncontent-length: 9', '[]'],
    ['chunks', '200 OK\r\ntransfer-encoding: chunked', '2\r\n[]\r\n0\r\n\r\n'],
    ['what is no JSON', '200 OK\r\ncontent-length: 2', '{]'],
  ])('not %s: that takes the long way', (_, head, body) => expect(answer(head, body)).toBeUndefined());
});
