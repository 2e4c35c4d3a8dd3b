import { describe, expect, test } from 'vitest';
import {
  declarationOf,
  patched,
  VmDeclaration,
  VmFile,
  vmDeclarationOf,
  vmFileOf,
  VmSet,
  WRITTEN_FIELDS,
} from '../src/index.ts';

const noParts = { sources: new Map() };
const again = (declared: VmDeclaration) => vmDeclarationOf(VmFile.parse(vmFileOf(declared)), noParts);

const FULL = VmDeclaration.parse({
  name: 'web-vm',
  title: '日本語の名前',
  labels: { tier: 'front' },
  image: 'micro',
  cpus: 2,
  memoryMib: 1300,
  diskMib: 2048,
  kernel: 'micro',
  env: { MODE: 'test', EMPTY: '' },
  files: [
    { path: '/etc/app.conf', contentBase64: btoa('a: 1\n'), mode: 0o755 },
    { path: '/bin/blob', contentBase64: btoa('\u0000\u00ff'), mode: 0o400 },
  ],
  command: ['httpd', '-f'],
  health: { kind: 'http', port: 80, path: '/ok', status: 204, intervalMs: 250, startPeriodMs: 0 },
  forwards: [
    { hostPort: 8080, guestPort: 80 },
    { hostAddress: '::1', hostPort: 8081, guestPort: 81 },
  ],
  networks: ['default', 'other'],
  role: 'router',
  routes: [{ to: '10.0.0.0/8', via: '10.213.0.9' }],
  cold: true,
  ephemeral: true,
  protected: false,
});

const NICS = [
  { network: 'lab', vlan: 10, mac: '02:00:00:00:00:01', address: '10.0.0.9', rateKbit: 50_000 },
  {
    network: 'lab',
    trunk: [
      { from: 10, to: 20 },
      { from: 30, to: 30 },
    ],
    rateKbit: 1500,
    link: 'down',
  },
  { network: 'default' },
];

describe('the file of a VM', () => {
  test('is read back as the same VM', () => {
    const { protected: _, ...rest } = FULL;
    expect(again(FULL)).toEqual(rest);
  });

  test.each([
    [{ protected: true }],
    [{ command: ['sh', '-c', 'echo hi'] }],
    [{ command: ['sh', '-c', ''] }],
    [{ health: { kind: 'exec', argv: ['true'] } }],
    [{ health: { kind: 'tcp', port: 1, intervalMs: 90_000 } }],
    [{ networks: undefined, nics: NICS }],
  ])('%j is read back', (change) => {
    const declared = VmDeclaration.parse({ name: 'vm', memoryMib: 64, networks: ['default'], ...change });
    expect(again(declared)).toEqual(declared);
  });

  test('says all that can be declared: a new field is to be added to vm-file.ts', () => {
    // `network` is how a command line says `networks`.
    const declarable = Object.keys(VmDeclaration.shape).filter((key) => key !== 'network');
    expect(WRITTEN_FIELDS.toSorted()).toEqual(declarable.toSorted());
  });

  test('may leave its networks open, which is not to have none', () => {
    const networksOf = (more: object) =>
      vmDeclarationOf(VmFile.parse({ apiVersion: 'skerry/v1', kind: 'VM', name: 'web', ...more }), noParts).networks;
    expect(networksOf({})).toBeUndefined();
    expect(networksOf({ networks: [] })).toEqual([]);
    expect(networksOf({ networks: ['lab'] })).toEqual(['lab']);
  });

  test('has NICs in full where they are more than their networks', () => {
    const declared = VmDeclaration.parse({ name: 'vm', nics: NICS });
    expect(vmFileOf(declared).nics).toEqual([
      { network: 'lab', vlan: 10, mac: '02:00:00:00:00:01', address: '10.0.0.9', limit: '50mbit' },
      { network: 'lab', trunk: ['10-20', 30], limit: '1500kbit', link: 'down' },
      { network: 'default' },
    ]);
    const both = { apiVersion: 'skerry/v1', kind: 'VM', name: 'web', networks: ['lab'], nics: [{ network: 'lab' }] };
    expect(() => VmFile.parse(both)).toThrow(/either `networks`, or `nics`/);
  });

  test('has text as text, and a command of the shell as one line', () => {
    const file = vmFileOf({ ...FULL, command: ['sh', '-c', 'httpd -f'] });
    expect(file).toMatchObject({ command: 'httpd -f', memory: '1300Mi', disk: '2Gi' });
    expect(file.files).toEqual([
      { path: '/etc/app.conf', content: 'a: 1\n', mode: '0755' },
      { path: '/bin/blob', contentBase64: btoa('\u0000\u00ff'), mode: '0400' },
    ]);
  });
});

test('a patch changes what it names, null takes out', () => {
  const patch = VmSet.parse({
    title: null,
    env: { MODE: null, NEW: '1' },
    labels: { a: 'b' },
    memoryMib: 256,
    health: null,
  });
  const { title: _title, health: _health, ...rest } = FULL;
  expect(patched(FULL, patch)).toEqual({
    ...rest,
    env: { EMPTY: '', NEW: '1' },
    labels: { tier: 'front', a: 'b' },
    memoryMib: 256,
  });
});

test('the declaration of a VM is what it was made from', () => {
  const { networks, name, title, labels, ...spec } = FULL;
  const vm = {
    name,
    title,
    labels,
    spec: { ...spec, nics: networks!.map((network) => ({ network })), type: 'microvm', power: 'running', restarts: 3 },
  };
  expect(declarationOf(vm as never)).toEqual(FULL);
  const nics = NICS.map((nic, index) => ({ ...nic, index: index + 1 }));
  const { networks: _, ...others } = FULL;
  expect(declarationOf({ ...vm, spec: { ...vm.spec, nics } } as never)).toEqual({ ...others, nics: NICS });
});
