import type { StartReport, Vm } from '@skerry/api';
import { describe, expect, test } from 'vitest';
import { vmOf } from '@skerry/testkit/contract-server';
import { stateLine } from '../src/commands/vm-create.ts';
import { vmLines } from '../src/commands/vm-info.ts';
import { parseAnswer } from '../src/hot/ask.ts';
import { cut, renderTable, restartText, VM_COLUMNS, waterfall, widthOf } from '../src/tables/index.ts';

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

  test('with titles of any script, each column at its place', () => {
    const titled = (name: string, title: string): Vm => ({ ...vm(name), title });
    const rows = [titled('a', '日本語の名前'), titled('b', '한글'.normalize('NFD')), titled('c', 'plain')];
    const lines = renderTable(rows, [
      { title: 'TITLE', of: ({ title }) => title },
      { title: 'NAME', of: ({ name }) => name },
    ]).split('\n');
    expect(lines.slice(1, 4).map((line) => widthOf(line))).toEqual([15, 15, 15]);
    expect(renderTable(rows, VM_COLUMNS)).toContain('日本語の名前');
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

  test('show when a VM restarts, and why one is left stopped', () => {
    const recovery = { phase: 'waiting' as const, tries: 3, failedAt: [], dueAt: '2026-01-01T00:00:04.000Z' };
    const waiting = vm('web', {}, { state: 'crashed', message: 'QEMU crashed', recovery });
    expect(restartText(waiting.status, Date.parse('2026-01-01T00:00:00.500Z'))).toBe('restarts in 4 s (try 3)');
    expect(restartText({ ...waiting.status, recovery: { ...recovery, phase: 'up' } })).toBe('');
    const columns = VM_COLUMNS.filter(({ title }) => ['NAME', 'STATE', 'MESSAGE'].includes(title));
    const given = vm('job', {}, { state: 'crashed', message: 'left stopped' });
    expect(renderTable([given, vm('up', {}, { state: 'running', message: 'no' })], columns)).toBe(
      'NAME  STATE    MESSAGE\njob   crashed  left stopped\nup    running  -\n',
    );
    expect(renderTable([waiting], columns)).toContain('restarts in 0 s (try 3)');
    expect(vmLines(waiting).join('\n')).toContain('crashed: QEMU crashed; restarts in 0 s (try 3)');
  });

  test('show what is suspended', () => {
    expect(renderTable([vm('web', {}, { state: 'suspended' })], VM_COLUMNS)).toContain('web   suspended  1');
  });

  test('are cut by columns of the screen, not by characters', () => {
    expect([cut('web', 3), cut('web-vm', 4), cut('店の前', 5), cut('店の前', 4), cut('web', 1), cut('web', 0)]).toEqual(
      ['web', 'web…', '店の…', '店…', '…', ''],
    );
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

    start at 2026-01-01T00:00:00.000Z, booted
      disk        50.0 ms  ████
      kernel     400.0 ms      ████████████████████████████████
      agent       50.0 ms                                      ████
      total      500.0 ms  (micro kernel, tcg, microvm)"
  `);
});

test('info says how it started, and why it booted', () => {
  const line = (report: Partial<StartReport>): string =>
    vmLines(vm('web', {}, { state: 'running', start: { ...start, ...report } })).find((each) =>
      each.startsWith('start at'),
    ) ?? '';
  expect(line({ how: 'clone', template: '3f2a9c0d11e45b67' })).toBe(
    'start at 2026-01-01T00:00:00.000Z, cloned from a template (template 3f2a9c0d11e45b67)',
  );
  expect(line({ how: 'cold', coldReason: 'no template: no\u001b space' })).toBe(
    'start at 2026-01-01T00:00:00.000Z, booted: no template: no  space',
  );
  for (const how of ['pool', 'fork', 'resume'] as const)
    expect(line({ how })).toMatch(/Z, (taken|forked|resumed) from/);
  const text = vmLines(vm('web', {}, { start: { ...start, reclaimsMemory: true }, suspendedAt: start.at })).join('\n');
  expect(text).toContain('memory:    128Mi, of which the host gets back what it frees\n');
  expect(text).toContain(`suspended: ${start.at}\n`);
});

test('what a verb says of a VM', () => {
  const running = (how: StartReport['how']): string =>
    stateLine(vm('web', {}, { state: 'running', nics: [nic], start: { ...start, how } }));
  expect(running('cold')).toBe('web: running, 10.213.0.5, started in 0.50 s');
  expect(running('clone')).toBe('web: running, 10.213.0.5, cloned in 0.50 s');
  expect(stateLine(vm('web', {}, { state: 'suspended', nics: [nic], start }))).toBe('web: suspended');
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
