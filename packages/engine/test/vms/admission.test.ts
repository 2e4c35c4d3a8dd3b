import * as fc from '@skerry/testkit/properties';
import { SkerryError } from '@skerry/api';
import { describe, expect, it } from 'vitest';
import { budgetOf, memoryAsk, OVERHEAD_MIB, planAdmission, takeableMib } from '../../src/vms/admission-plan.ts';
import { Admission } from '../../src/vms/admission.ts';

const ask = { memoryMib: 128 };
const EACH_MIB = ask.memoryMib + OVERHEAD_MIB;
const PLENTY = { totalMib: 64_000, availableMib: 60_000 };

const refused = (promise: Promise<unknown>): Promise<SkerryError> =>
  promise.then(
    () => {
      throw new Error('it was let in');
    },
    (error: unknown) => SkerryError.from(error),
  );

describe('budgetOf', () => {
  it('is half as much again as the host has beyond its own', () => {
    expect(budgetOf(16_384, {})).toBe((16_384 - 2048) * 1.5);
    expect(budgetOf(4096, {})).toBe((4096 - 512) * 1.5);
    expect(budgetOf(16_384, { overcommit: 1 })).toBe(16_384 - 2048);
  });

  it('is what was named, if so', () => {
    expect(budgetOf(16_384, { budgetMib: 500, overcommit: 3 })).toBe(500);
  });
});

describe('takeableMib', () => {
  it('leaves something to the host, however little it has', () => {
    expect(takeableMib({ totalMib: 3200, availableMib: 1000 })).toBe(900);
    expect(takeableMib({ totalMib: 64_000, availableMib: 1000 })).toBe(488);
    expect(takeableMib({ totalMib: 3200, availableMib: 50 })).toBe(0);
  });
});

describe('planAdmission', () => {
  const facts = { budgetMib: 10 * EACH_MIB, promisedMib: 0, availableMib: 10_000, pendingMib: 0 };
  const asks = (count: number) => Array.from({ length: count }, () => ask);

  it('counts those that fit, and what is lacking for the others', () => {
    expect(planAdmission(asks(10), facts)).toEqual({ fits: 10, lacksBudgetMib: 0, lacksMemoryMib: 0 });
    expect(planAdmission(asks(12), facts)).toEqual({ fits: 10, lacksBudgetMib: 2 * EACH_MIB, lacksMemoryMib: 0 });
    expect(planAdmission(asks(2), { ...facts, promisedMib: 9 * EACH_MIB })).toMatchObject({ fits: 1 });
  });

  it('looks at what the host has left as well, and at what others take of it soon', () => {
    expect(planAdmission(asks(3), { ...facts, availableMib: 64 })).toMatchObject({ fits: 2, lacksMemoryMib: 32 });
    expect(planAdmission(asks(3), { ...facts, availableMib: 96, pendingMib: 64 })).toMatchObject({ fits: 1 });
  });

  it('lets in what is there already, even where more was promised than may be', () => {
    const covered = { ...ask, freshMib: 0, coveredMib: EACH_MIB };
    const over = { ...facts, promisedMib: 20 * EACH_MIB };
    expect(planAdmission([covered, covered], over)).toMatchObject({ fits: 2 });
    expect(planAdmission([covered, ask], over)).toMatchObject({ fits: 1 });
  });

  it('never lets in more than there is', () => {
    const asked = fc.array(fc.record({ memoryMib: fc.integer({ min: 32, max: 4096 }) }), { maxLength: 20 });
    const amount = fc.integer({ min: 0, max: 20_000 });
    fc.assert(
      fc.property(asked, amount, amount, (some, budgetMib, promisedMib) => {
        const { fits } = planAdmission(some, { ...facts, budgetMib, promisedMib });
        const needed = some.slice(0, fits).reduce((sum, { memoryMib }) => sum + memoryMib + OVERHEAD_MIB, 0);
        if (fits > 0) expect(needed + promisedMib).toBeLessThanOrEqual(budgetMib);
      }),
    );
  });
});

describe('memoryAsk', () => {
  const status = { state: 'suspended', health: 'none', nics: [], warnings: [], restarts: 0 } as const;
  const spec = { memoryMib: 512 } as never;

  it('is for all at once when the memory comes back from disk', () => {
    const suspendedAt = '2026-01-01T00:00:00Z';
    expect(memoryAsk({ spec, status: { ...status, nics: [], warnings: [] } })).toEqual({ memoryMib: 512 });
    expect(memoryAsk({ spec, status: { ...status, nics: [], warnings: [], suspendedAt } })).toEqual({
      memoryMib: 512,
      freshMib: 512 + OVERHEAD_MIB,
    });
  });
});

describe('Admission', () => {
  const withRoomFor = (count: number, more: Partial<ConstructorParameters<typeof Admission>[0]> = {}): Admission =>
    new Admission({ budgetMib: count * EACH_MIB, memory: async () => PLENTY, ...more });
  const promised = async (admission: Admission): Promise<number> => (await admission.state()).promisedMib;

  it('lets in as many as fit of those that ask at once, and refuses each of the others', async () => {
    const admission = withRoomFor(3);
    const ids = Array.from({ length: 20 }, (_, index) => `vm${index}`);
    const results = await Promise.allSettled(ids.map((id) => admission.admit(id, ask)));
    expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(3);
    expect(await promised(admission)).toBe(3 * EACH_MIB);
    const error = await refused(admission.admit('late', ask));
    expect(error).toMatchObject({ code: 'no-space', details: { asked: 1, fits: 0, promisedMib: 3 * EACH_MIB } });
    expect(error.message).toBe(
      'A VM of 128Mi does not fit on this host: 504Mi of 504Mi are promised to VMs; a smaller one would not either',
    );
    expect(error.remedy).toContain('SKERRY_MEMORY_BUDGET');
    admission.release('vm0');
    await admission.admit('late', ask);
  });

  it('says how large one may be that would fit', async () => {
    const admission = withRoomFor(3);
    await admission.admit('a', ask);
    const error = await refused(admission.admit('b', { memoryMib: 512 }));
    expect(error.message).toContain('; one of 296Mi would');
    expect(error.details).toMatchObject({ fitsMib: 296 });
    await admission.admit('b', { memoryMib: 296 });
  });

  it('lets in one that was let in before, and asks it only for what it wants more', async () => {
    const admission = withRoomFor(2);
    await admission.admit('a', ask);
    await admission.admit('a', ask);
    expect(await promised(admission)).toBe(EACH_MIB);
    await admission.admit('a', { memoryMib: ask.memoryMib + EACH_MIB });
    expect(await promised(admission)).toBe(2 * EACH_MIB);
    expect(await refused(admission.admit('a', { memoryMib: 1024 }))).toMatchObject({ code: 'no-space' });
    expect(await promised(admission)).toBe(2 * EACH_MIB);
    await admission.admit('a', { memoryMib: 64 });
    expect(await promised(admission)).toBe(64 + OVERHEAD_MIB);
  });

  it('looks at the memory that those who are starting have not taken yet', async () => {
    const memory = { totalMib: 0, availableMib: 80 };
    const admission = new Admission({ budgetMib: 99_999, memory: async () => memory });
    await admission.admit('a', ask);
    await admission.admit('b', ask);
    expect((await refused(admission.admit('c', ask))).message).toContain('the host has 16Mi left for VMs');
    admission.settle('a');
    await admission.admit('c', ask);
  });

  it('adopts what runs already, whether it fits or not', async () => {
    const admission = withRoomFor(1);
    admission.adopt('a', ask);
    admission.adopt('b', ask);
    expect(await promised(admission)).toBe(2 * EACH_MIB);
    await refused(admission.admit('c', ask));
    // A node whose VMs all run needs nothing.
    using _room = await admission.reserve([{ ...ask, freshMib: 0, coveredMib: EACH_MIB }]);
  });

  describe('a room', () => {
    it('is for all or for none, and says how many would fit', async () => {
      const admission = withRoomFor(3);
      await admission.admit('a', ask);
      const error = await refused(admission.reserve([ask, ask, ask, ask]));
      expect(error).toMatchObject({ code: 'no-space', details: { asked: 4, fits: 2 } });
      expect(error.message).toBe('4 VMs of 128Mi do not fit on this host: 168Mi of 504Mi are promised to VMs; 2 would');
      expect(error.remedy).toMatch(/^Ask for 2 at most/);
      expect(await promised(admission)).toBe(EACH_MIB);
    });

    it('is kept for those it was made for, and free again when it is not used', async () => {
      const admission = withRoomFor(2);
      {
        using room = await admission.reserve([ask, ask]);
        await refused(admission.admit('stranger', ask));
        await admission.admit('a', ask, { room });
        expect(await promised(admission)).toBe(2 * EACH_MIB);
      }
      expect(await promised(admission)).toBe(EACH_MIB);
      await admission.admit('stranger', ask);
    });

    it('that is too small is added to, and gets back what could not be used', async () => {
      const admission = withRoomFor(2);
      await admission.admit('a', ask);
      using room = await admission.reserve([{ memoryMib: 64 }]);
      await refused(admission.admit('b', { memoryMib: 1024 }, { room }));
      expect([room.leftMib, room.leftFreshMib]).toEqual([64 + OVERHEAD_MIB, 32]);
      await admission.admit('b', ask, { room });
      expect([room.leftMib, await promised(admission)]).toEqual([0, 2 * EACH_MIB]);
    });

    it('that was given up meanwhile takes nothing back', async () => {
      const admission = withRoomFor(1);
      const room = await admission.reserve([{ memoryMib: 64 }]);
      const late = refused(admission.admit('a', { memoryMib: 1024 }, { room }));
      room[Symbol.dispose]();
      await late;
      expect([room.leftMib, await promised(admission)]).toEqual([0, 0]);
    });
  });

  describe('what only waits', () => {
    /** As pools do: the youngest go, one after the other. */
    function pooled(count: number, members: number) {
      const waiting: string[] = [];
      const asked: number[] = [];
      const admission: Admission = withRoomFor(count, {
        giveWay: async (lackingMib) => {
          asked.push(lackingMib);
          const going = waiting.splice(-Math.ceil(Math.min(lackingMib, 1e6) / EACH_MIB));
          await new Promise((resolve) => setTimeout(resolve, 5));
          for (const id of going) admission.release(id);
        },
      });
      const fill = async (): Promise<void> => {
        for (let index = 0; index < members; index += 1) {
          waiting.push(`m${index}`);
          await admission.admit(`m${index}`, ask, { yields: true });
        }
      };
      return { admission, asked, waiting, fill };
    }

    it('gives way to who starts, as far as it takes', async () => {
      const { admission, asked, waiting, fill } = pooled(4, 3);
      await fill();
      await admission.admit('a', ask);
      expect(asked).toEqual([]);
      await admission.admit('b', ask);
      expect([asked, waiting]).toEqual([[EACH_MIB], ['m0', 'm1']]);
      using _room = await admission.reserve([ask, ask]);
      expect(waiting).toEqual([]);
      await refused(admission.admit('c', ask));
    });

    it('does not give way to more of its kind', async () => {
      const { admission, asked, fill } = pooled(2, 2);
      await fill();
      await refused(admission.admit('m9', ask, { yields: true }));
      expect(asked).toEqual([]);
    });

    it('is what a start has taken no more', async () => {
      const { admission, waiting, fill } = pooled(2, 2);
      await fill();
      admission.keep('m0');
      admission.keep('m1');
      waiting.length = 0;
      await refused(admission.admit('a', ask));
    });

    it('gives way to all that ask at once: nobody is refused for having asked while others went', async () => {
      const { admission, waiting, fill } = pooled(4, 4);
      await fill();
      await Promise.all(['a', 'b', 'c', 'd'].map((id) => admission.admit(id, ask)));
      expect(waiting).toEqual([]);
      expect(await promised(admission)).toBe(4 * EACH_MIB);
    });
  });
});
