import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { run } from '../../../src/hosts/index.ts';
import {
  apparmorProfile,
  pathInFileSystem,
  Policies,
  profileName,
  serverProfile,
  type ProfileInput,
} from '../../../src/hypervisors/policies/index.ts';
import { compilesProfile, hasParser, NOT_TO_THE_KERNEL } from './compilers.ts';

const DIR = '/data/vms/0198c5a4-7b1e-7cc3-9a52-3f6f0a1d2e4b';

function input(changes: Partial<ProfileInput> = {}): ProfileInput {
  return {
    name: 'skerry-vm-3f6f0a1d2e4b',
    spec: {
      listen: { qmp: '/run/v/3f6f0a1d2e4b/qmp', agent: '/run/v/3f6f0a1d2e4b/agent' },
      open: {
        kernel: { path: '/cache/kernels/micro/vmlinux', mode: 'r' },
        conlog: { path: `${DIR}/console.log`, mode: 'a' },
        disk0b1: { path: '/data/images/ab/root.raw', mode: 'r' },
        disk0: { path: `${DIR}/disk.qcow2`, mode: 'rw' },
      },
    },
    usesKvm: false,
    sharePaths: [],
    ...changes,
  };
}

const withShares = (path: string, readonly = false): ProfileInput =>
  input({ spec: { ...input().spec, share: { share0: { path, readonly } } }, sharePaths: [{ path, readonly }] });

/** What begins a rule: a path, in quotes or not, or a keyword. */
const rulesOf = (text: string): string[] =>
  text
    .split('\n')
    .filter((line) => line.startsWith('  '))
    .map((line) => line.trim());

describe('the profile of a VM', () => {
  it.for([
    ['plain', input()],
    ['kvm', input({ usesKvm: true })],
    [
      'shares',
      input({
        spec: {
          ...input().spec,
          share: {
            share0: { path: '/home/ada/a "b" {c,d} *', readonly: false },
            share1: { path: '/srv/docs', readonly: true },
          },
        },
        sharePaths: [
          { path: '/ada/a "b" {c,d} *', readonly: false },
          { path: '/srv/docs', readonly: true },
        ],
      }),
    ],
  ] as const)('%s is as in its golden file', async ([name, given]) => {
    await expect(apparmorProfile(given)).toMatchFileSnapshot(join(import.meta.dirname, `golden/apparmor-${name}.txt`));
  });

  it('allows no program, no network, no capability, and no other VM’s files', () => {
    const rules = rulesOf(apparmorProfile(withShares('/srv/docs')));
    for (const rule of rules) {
      expect(rule).toMatch(/^(?:owner |deny )?(?:["/]|unix |signal )/);
      // Permissions are the last word: x in any form (ix, px, ux) would be an execution.
      if (!/^(?:unix|signal)/.test(rule)) expect(rule).toMatch(/ [rwklm]+,$/);
    }
    const written = rules.filter((rule) => rule.startsWith('"/data/') && / r?wk?,$/.test(rule));
    expect(written.length).toBeGreaterThan(1);
    expect(written.filter((rule) => !rule.startsWith(`"${DIR}/`))).toEqual([]);
    expect(rules.filter((rule) => rule.includes('/vms/') && !rule.includes(DIR))).toEqual([]);
  });

  it('has only names of this VM in it, whatever they hold: none ends its quotes or means a pattern', () => {
    const alphabet = [
      '"',
      '\\',
      '*',
      '?',
      '[',
      ']',
      '{',
      '}',
      '^',
      ',',
      '@',
      '{HOME}',
      '#',
      ' ',
      'a',
      'é',
      '}\\n',
      '/',
    ];
    let seed = 12_345;
    const random = (below: number): number => {
      seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31;
      return Math.floor((seed / 2 ** 31) * below);
    };
    const plain = rulesOf(apparmorProfile(withShares('/share')));
    for (let round = 0; round < 300; round++) {
      const path = `/${Array.from({ length: 1 + random(12) }, () => alphabet[random(alphabet.length)]).join('')}`;
      const rules = rulesOf(apparmorProfile(withShares(path)));
      expect(rules).toHaveLength(plain.length);
      const own = rules.filter((rule, index) => rule !== plain[index]);
      expect(own).toHaveLength(2);
      const [directory = '', below = ''] = own;
      // Read as the parser reads it: what follows a backslash is itself; nothing else has a meaning.
      const [, quotedPath = ''] = /^"((?:[^"\\]|\\.)*)" r,$/.exec(directory) ?? [];
      expect(quotedPath.replaceAll(/\\(.)/g, '$1')).toBe(`${path}/`);
      expect(quotedPath.replaceAll(/\\./g, '')).not.toMatch(/[*?[\]{}^,@]/);
      expect(below).toBe(`"${quotedPath}**" rwkl,`);
    }
  });

  it('is refused for a path with control characters, or that is not absolute', () => {
    for (const path of ['/a\nb', '/a\u0000', '/\u007f', 'a'])
      expect(() => apparmorProfile(withShares(path))).toThrow('No AppArmor profile can name');
  });

  it('is named after the short id, and nothing else', () => {
    expect(profileName('/run/skerry/v/3f6f0a1d2e4b')).toBe('skerry-vm-3f6f0a1d2e4b');
    for (const path of ['/run/v/a b', '/run/v/a{', '/run/v/unconfined//x{', '/run/v/..', '/run/v/é', '/'])
      expect(() => profileName(path)).toThrow('is no name');
  });
});

describe('a path in its own file system', () => {
  const mounts = [
    '22 1 254:0 / / rw - ext4 /dev/vda rw',
    '30 22 254:1 / /home rw - ext4 /dev/vdb rw',
    '31 22 254:2 /@data /srv/a\\040b rw - btrfs /dev/vdc rw',
    '32 22 0:25 / /homestead rw - tmpfs tmpfs rw',
  ].join('\n');

  it.for([
    ['/etc/x', '/etc/x'],
    ['/home/ada/src', '/ada/src'],
    ['/home', '/'],
    ['/homes/x', '/homes/x'],
    ['/srv/a b/c', '/@data/c'],
    ['/srv/a b', '/@data'],
  ] as const)('%s is %s', ([path, there]) => {
    expect(pathInFileSystem(path, mounts)).toBe(there);
  });
});

describe.runIf(await hasParser())('apparmor_parser', () => {
  it('compiles each profile', async () => {
    for (const given of [
      input(),
      input({ usesKvm: true }),
      withShares('/a "b" {c,d}*?[e]^@{HOME}\\ #é'),
      withShares('/'),
    ])
      expect(await compilesProfile(apparmorProfile(given))).toBe('');
  });

  it('compiles that of a server, alone and behind its VM’s', async () => {
    for (const readonly of [false, true]) {
      const text = serverProfile('skerry-vm-3f6f0a1d2e4b', '/opt/a "b"/virtiofsd', readonly);
      expect(await compilesProfile(`${apparmorProfile(input())}${text}`)).toBe('');
      // No program, no network.
      for (const rule of rulesOf(text).filter((line) => /^["/]/.test(line))) expect(rule).toMatch(/ [rwklm]+,$/);
      expect(text).not.toMatch(/^ {2}network/m);
    }
  });

  it('refuses one with an error in it', async () => {
    const text = apparmorProfile(input());
    expect(await compilesProfile(text.replace('/dev/null w,', '/dev/null w'))).toContain('parser error at line 13');
    expect(await compilesProfile(text.replace(/^}/m, ''))).not.toBe('');
  });

  it('is what a VM’s profile is loaded with and removed by', async () => {
    const policies = new Policies({ look: async () => ({ kind: 'apparmor' }), parser: NOT_TO_THE_KERNEL });
    const spec = { ...input().spec, dir: DIR, command: ['true'], owner: { uid: 720_001, gid: 720_001 } } as const;
    const launch = { runtimeDir: '/run/v/3f6f0a1d2e4b', accelerator: 'tcg' } as const;
    const allowed = await policies.prepare(launch, spec);
    expect(allowed).toMatchObject({ policy: { apparmor: 'skerry-vm-3f6f0a1d2e4b' } });
    await policies.release(launch, allowed);
    const served = { share0: { path: '/srv', readonly: true } };
    const withServer = await policies.prepare(launch, { ...spec, served, server: ['/usr/libexec/virtiofsd'] });
    expect(withServer).toMatchObject({ policy: { serverApparmor: 'skerry-vm-3f6f0a1d2e4b-server' } });
    await policies.release(launch, withServer);
  });

  it('has its refusal told: the VM does not start with less', async () => {
    const parser = [NOT_TO_THE_KERNEL[0], ...NOT_TO_THE_KERNEL.slice(1), '--no-such-option'] as const;
    const policies = new Policies({ look: async () => ({ kind: 'apparmor' }), parser });
    const spec = { ...input().spec, dir: DIR, command: ['true'], owner: { uid: 720_001, gid: 720_001 } } as const;
    await expect(policies.prepare({ runtimeDir: '/run/v/a', accelerator: 'tcg' }, spec)).rejects.toMatchObject({
      code: 'refused',
      details: { profile: 'skerry-vm-a' },
    });
  });

  it('compiles the profile for programs in guests', async () => {
    const path = join(import.meta.dirname, '../../../../../policies/guest/service.apparmor');
    await run([...NOT_TO_THE_KERNEL, '--replace', path]);
  });
});
