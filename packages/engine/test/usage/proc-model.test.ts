import { describe, expect, test } from 'vitest';
import {
  parseHostCpu,
  parseHostMemory,
  parseProcessIo,
  parseProcessStat,
  parseSmapsRollup,
  parseStatm,
} from '../../src/usage/proc-model.ts';

describe('a process', () => {
  test('is known by its start time, whatever it is called', () => {
    const rest = 'S 1 5 5 0 -1 4194560 100 0 0 0 250 50 7 7 20 0 9 0 123456 1000 200';
    for (const name of ['qemu', 'a b', 'x) R 9 (y', '']) {
      expect(parseProcessStat(`77 (${name}) ${rest}`)).toEqual({ state: 'S', startTime: '123456', cpuMs: 3000 });
    }
  });

  test('that is gone, or cut off', () => {
    for (const text of ['', '77 (qemu', '77 (qemu) S 1 2']) expect(parseProcessStat(text)).toBeUndefined();
  });

  test("its memory: its share, its own, others' too", () => {
    const text = [
      '55ce48fa0000-7fffcd110000 ---p 00000000 00:00 0                          [rollup]',
      'Rss:               16120 kB',
      'Pss:                2260 kB',
      'Pss_Dirty:           116 kB',
      'Shared_Clean:      14560 kB',
      'Shared_Dirty:          4 kB',
      'Private_Clean:        40 kB',
      'Private_Dirty:      1516 kB',
      'Shared_Hugetlb:        0 kB',
      'Private_Hugetlb:    2048 kB',
      '',
    ].join('\n');
    expect(parseSmapsRollup(text)).toEqual({
      pssBytes: 2260 * 1024,
      privateBytes: (40 + 1516 + 2048) * 1024,
      sharedBytes: 14_564 * 1024,
    });
    expect(parseSmapsRollup('')).toBeUndefined();
  });

  test('its memory where only statm can be read', () => {
    expect(parseStatm('765 403 374 5 0 123 0\n', 4096)).toEqual({
      pssBytes: 403 * 4096,
      privateBytes: 29 * 4096,
      sharedBytes: 374 * 4096,
    });
    expect(parseStatm('', 4096)).toBeUndefined();
  });

  test('what it read and wrote, and nothing where that is not told', () => {
    const text =
      'rchar: 7674\nwchar: 698\nsyscr: 12\nsyscw: 1\nread_bytes: 512\nwrite_bytes: 4096\ncancelled_write_bytes: 9\n';
    expect(parseProcessIo(text)).toEqual({ diskReadBytes: 512, diskWrittenBytes: 4096 });
    expect(parseProcessIo('')).toEqual({ diskReadBytes: 0, diskWrittenBytes: 0 });
  });
});

describe('the host', () => {
  test('is busy with all but idling and waiting', () => {
    const text =
      'cpu  100 20 30 5000 600 4 5 6 70 8\ncpu0 50 10 15 2500 300 2 2 3 35 4\ncpu1 50 10 15 2500 300 2 3 3 35 4\nintr 1\n';
    expect(parseHostCpu(text)).toEqual({ cpus: 2, busyMs: 1650 });
  });

  test('its memory', () => {
    expect(
      parseHostMemory(
        'MemTotal:       24684096 kB\nMemFree:  1 kB\nMemAvailable:   22521596 kB\nHugePages_Total:   0\n',
      ),
    ).toEqual({ totalBytes: 24_684_096 * 1024, availableBytes: 22_521_596 * 1024 });
  });
});
