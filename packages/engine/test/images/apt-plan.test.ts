import { describe, expect, test } from 'vitest';
import {
  aptConf,
  debFileName,
  metaPackageTarget,
  newestLinuxSource,
  parseShow,
  parseSimulation,
  providedStatus,
  unknownPackages,
} from '../../src/images/apt-plan.ts';

describe('apt', () => {
  test('writes nowhere but below its own directory', () => {
    const paths = [...aptConf('/c/apt').matchAll(/^Dir::(?:State|Cache|Log)\S* "(\/[^"]*)";$/gm)].map(
      (match) => match[1],
    );
    expect(paths).toHaveLength(7);
    expect(paths.every((path) => path?.startsWith('/c/apt'))).toBe(true);
  });

  test('is told that a package is there only while nobody asks for it', () => {
    const lines = (requested: string[]): string[] => providedStatus(requested).match(/^Package: .*$/gm) ?? [];
    expect(lines([])).toContain('Package: adduser');
    expect(lines(['nginx', 'adduser=3.134'])).not.toContain('Package: adduser');
    expect(lines(['nginx', 'adduser=3.134'])).toContain('Package: debconf');
    expect(providedStatus([])).toMatch(/Package: debconf\n(?:.*\n)+?Provides: debconf-2\.0\n/);
  });

  test('its simulation is read whatever the architecture and origin', () => {
    const output = [
      'NOTE: This is only a simulation!',
      'Inst libc6 (2.36-9+deb12u14 Debian:12.15/oldstable [amd64]) []',
      'Inst redis-server (5:7.0.15-1~deb12u10 Debian-Security:12/oldstable-security, Debian:12.1/stable [amd64])',
      'Inst nginx-common [1.0] (1.22.1-9 Debian:12.15/oldstable [all])',
      'Conf libc6 (2.36-9+deb12u14 Debian:12.15/oldstable [amd64])',
    ].join('\n');
    expect(parseSimulation(output)).toEqual([
      { name: 'libc6', version: '2.36-9+deb12u14', architecture: 'amd64' },
      { name: 'nginx-common', version: '1.22.1-9', architecture: 'all' },
      { name: 'redis-server', version: '5:7.0.15-1~deb12u10', architecture: 'amd64' },
    ]);
  });

  test('names the packages it does not know', () => {
    const stderr = [
      'E: Unable to locate package no-such-thing',
      "E: Version '9' for 'nginx' was not found",
      "E: Package 'mawk' has no installation candidate",
    ].join('\n');
    expect(unknownPackages(stderr)).toEqual(['no-such-thing', 'nginx', 'mawk']);
  });

  test('escapes the colon of an epoch in file names', () => {
    const deb = { name: 'redis-server', version: '5:7.0.15-1~deb12u10', architecture: 'amd64' };
    expect(debFileName(deb)).toBe('redis-server_5%3a7.0.15-1~deb12u10_amd64.deb');
  });

  test('the newest kernel source is the highest by number, and at least 6.1', () => {
    const search = (...names: string[]): string => names.map((name) => `${name} - Linux kernel source`).join('\n');
    expect(newestLinuxSource(search('linux-source-6.1', 'linux-source-6.12', 'linux-source-6.9'))).toBe(
      'linux-source-6.12',
    );
    expect(newestLinuxSource(search('linux-source-7.0', 'linux-source-6.12'))).toBe('linux-source-7.0');
    expect(newestLinuxSource(search('linux-source-5.10', 'linux-source-6.0', 'linux-source'))).toBeUndefined();
  });

  test('a meta package leads to its kernel', () => {
    expect(metaPackageTarget('Package: x\nDepends: linux-image-6.1.0-56-cloud-amd64 (= 6.1.192-2)\n')).toBe(
      'linux-image-6.1.0-56-cloud-amd64',
    );
    expect(metaPackageTarget('Package: x\n')).toBeUndefined();
  });

  test('a package is known by three fields or not at all', () => {
    expect(parseShow('Package: a\nVersion: 1:2\nArchitecture: all\nDescription: x\n')).toEqual({
      name: 'a',
      version: '1:2',
      architecture: 'all',
    });
    expect(parseShow('')).toBeUndefined();
  });
});
