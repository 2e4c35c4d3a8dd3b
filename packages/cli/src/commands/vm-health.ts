import { SkerryError, type VmCreateInput } from '@skerry/api/base';
import type { Args, Option } from '../grammar/index.ts';

/** The health check of a VM, as options. */

export const HEALTH_OPTIONS: readonly Option[] = [
  { name: 'health-cmd', value: 'COMMAND', summary: 'it is healthy when this, run by `sh -c` in it, ends with 0' },
  { name: 'health-tcp', value: 'PORT', summary: 'it is healthy when this port of it takes connections' },
  { name: 'health-http', value: 'PORT[/PATH]', summary: 'it is healthy when a GET of this is answered with 200' },
  { name: 'health-interval', value: 'DURATION', summary: 'from one check to the next; default: 500ms' },
  { name: 'health-timeout', value: 'DURATION', summary: 'how long a check may take; default: 5s' },
  { name: 'health-retries', value: 'N', summary: 'failures in a row that make it unhealthy; default: 3' },
  { name: 'health-start-period', value: 'DURATION', summary: 'failures this soon do not count; default: 60s' },
];

const KINDS = ['health-cmd', 'health-tcp', 'health-http'] as const;

type Health = NonNullable<VmCreateInput['health']>;

/** @param before the check that it has, of which only the timing is changed when nothing else is said */
export function healthOf(args: Args, before?: Health): Health | undefined {
  const timing = timingOf(args);
  const [kind, ...others] = KINDS.filter((each) => args.text(each) !== undefined);
  if (others.length > 0) {
    throw new SkerryError('invalid', `--${[kind, ...others].join(' and --')} are given: a VM has one health check`, {
      remedy: 'Give one of them.',
    });
  }
  if (kind === undefined) {
    const [first] = Object.keys(timing);
    if (first === undefined) return undefined;
    if (before !== undefined) return { ...before, ...timing };
    throw new SkerryError('invalid', 'The timing of a health check is given, and no check', {
      remedy: 'Say what is checked: --health-cmd, --health-tcp or --health-http.',
    });
  }
  const text = args.text(kind) ?? '';
  if (kind === 'health-cmd') return { kind: 'exec', argv: ['sh', '-c', text], ...timing };
  if (kind === 'health-tcp') return { kind: 'tcp', port: portOf(text, kind), ...timing };
  const slash = text.indexOf('/');
  const port = portOf(slash === -1 ? text : text.slice(0, slash), kind);
  return { kind: 'http', port, ...(slash === -1 ? {} : { path: text.slice(slash) }), ...timing };
}

function timingOf(args: Args): { intervalMs?: number; timeoutMs?: number; retries?: number; startPeriodMs?: number } {
  const timing = {
    intervalMs: args.durationMs('health-interval'),
    timeoutMs: args.durationMs('health-timeout'),
    retries: args.int('health-retries'),
    startPeriodMs: args.durationMs('health-start-period'),
  };
  return Object.fromEntries(Object.entries(timing).filter(([, value]) => value !== undefined));
}

function portOf(text: string, option: string): number {
  const port = /^\d+$/.test(text) ? Number(text) : 0;
  if (port >= 1 && port <= 65_535) return port;
  throw new SkerryError('invalid', `--${option}: '${text}' is no port`, { remedy: 'Write a number from 1 to 65535.' });
}
