import { IMPAIRMENT_WORDS, parseImpairment, SkerryError, type FaultSpecInput } from '@skerry/api/base';
import type { Args, Command } from '../grammar/index.ts';
import { FOR, forOf, SEED, sayCleared, startFault } from './fault.ts';

/** Impairments have an end even if nobody thought of one. */
const STANDARD_MS = 60_000;

const DIRECTIONS = ['a2b', 'b2a', 'both'] as const;

export const linkImpairCommand: Command = {
  group: 'link',
  verb: 'impair',
  positionals: [{ name: 'nic', value: 'VM:ethN', summary: 'a NIC, such as web:eth1' }],
  options: [
    { name: 'delay', value: 'TIME', summary: 'frames come later, such as 20ms' },
    { name: 'jitter', value: 'TIME', summary: 'by so much more or less each' },
    { name: 'loss', value: 'SHARE', summary: 'so many do not come, such as 1%' },
    { name: 'duplicate', value: 'SHARE', summary: 'so many come twice' },
    { name: 'reorder', value: 'SHARE', summary: 'so many overtake those that wait' },
    { name: 'corrupt', value: 'SHARE', summary: 'so many have a wrong bit' },
    { name: 'rate', value: 'RATE', summary: 'no more than this passes, such as 20mbit' },
    { name: 'dir', value: 'DIR', choices: DIRECTIONS, summary: 'a2b: what it sends; b2a: what it gets; default: both' },
    { name: 'down', summary: 'pull its cable out: the guest sees no carrier' },
    { name: 'clear', summary: 'end all that was done to it by this' },
    { ...FOR, summary: `${FOR.summary}; default: 60s` },
    SEED,
  ],
  summary: 'Let frames of a NIC be late, get lost or worse, for a while',
  description:
    'Several for one NIC count all. They are faults: `skerry fault list` shows them, `skerry fault clear` ends them.',
  examples: [
    'skerry link impair web:eth1 --delay 20ms --jitter 2ms --loss 1% --rate 20mbit --dir a2b --for 30s',
    'skerry link impair web:eth1 --down --for 5s',
    'skerry link impair web:eth1 --clear',
  ],
  async run(context, args) {
    const nic = args.required('nic');
    if (!args.flag('clear')) {
      const given = forOf(args);
      return await startFault(context, { spec: specOf(nic, args), forMs: given.forMs ?? STANDARD_MS });
    }
    if (args.flag('down') || IMPAIRMENT_WORDS.some((word) => args.text(word) !== undefined)) {
      throw new SkerryError('invalid', '--clear ends, and nothing can begin with it', {
        remedy: 'Leave the others out.',
      });
    }
    const client = await context.client();
    const faults = await client.call('fault.list', { query: { all: 'false' } });
    const ours = faults.filter(({ spec }) => 'nic' in spec && spec.nic === nic);
    const cleared = [];
    for (const { id } of ours) cleared.push(...(await client.call('fault.clear', { body: { of: id } })));
    return await sayCleared(context, cleared);
  },
};

function specOf(nic: string, args: Args): FaultSpecInput {
  const texts = Object.fromEntries(IMPAIRMENT_WORDS.map((word) => [word, args.text(word)]));
  const impairment = parseImpairment(texts);
  if (!args.flag('down')) {
    const dir = args.text('dir') as (typeof DIRECTIONS)[number] | undefined;
    const seed = args.int('seed');
    return {
      kind: 'impair',
      nic,
      impairment,
      ...(dir === undefined ? {} : { dir }),
      ...(seed === undefined ? {} : { seed }),
    };
  }
  if (Object.keys(impairment).length === 0 && args.text('dir') === undefined) return { kind: 'link-down', nic };
  throw new SkerryError('invalid', 'A cable that is out has nothing else', {
    remedy: 'Give --down, or the other options.',
  });
}
