import * as fc from '@skerry/testkit/properties';
import { describe, expect, it } from 'vitest';
import { allocateUid, UID_BASE, UID_COUNT } from '../../../src/hypervisors/jail/index.ts';

const none = { passwd: '', group: '', subuid: '', subgid: '' };

describe('allocateUid', () => {
  it('skips what VMs, accounts and subordinate ranges use', () => {
    expect(allocateUid(new Set(), none)).toBe(720_000);
    expect(allocateUid(new Set([720_000, 720_001]), none)).toBe(720_002);
    const sources = {
      passwd: 'root:x:0:0::/root:/bin/sh\nodd:x:720000:720000::/:/bin/false\n',
      group: 'odd:x:720001:\n',
      subuid: 'ann:720002:8\n# none\n',
      subgid: 'ann:720010:1\n',
    };
    expect(allocateUid(new Set([720_011]), sources)).toBe(720_012);
  });

  it('says so when the range is used up', () => {
    const subuid = `ann:${UID_BASE - 5}:${UID_COUNT + 5}\n`;
    expect(() => allocateUid(new Set(), { ...none, subuid })).toThrow(expect.objectContaining({ code: 'no-space' }));
  });

  it('never returns one in use, whatever the files hold', () => {
    const uid = fc.integer({ min: UID_BASE, max: UID_BASE + 30 });
    fc.assert(
      fc.property(
        fc.array(uid),
        fc.array(uid),
        fc.array(fc.tuple(uid, fc.nat(20))),
        fc.string(),
        (used, users, ranges, junk) => {
          const got = allocateUid(new Set(used), {
            ...none,
            passwd: `${junk}\n${users.map((id) => `u:x:${id}:0::/:/`).join('\n')}`,
            subuid: ranges.map(([start, count]) => `u:${start}:${count}`).join('\n'),
          });
          expect(used).not.toContain(got);
          expect(users).not.toContain(got);
          expect(ranges.some(([start, count]) => got >= start && got < start + count)).toBe(false);
        },
      ),
    );
  });
});
