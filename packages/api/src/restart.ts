import { SkerryError } from './errors.ts';

/** A restart policy as a person writes it: 'on-failure:5'. */

export const RESTART_POLICIES = ['never', 'on-failure', 'always'] as const;
export type RestartPolicyName = (typeof RESTART_POLICIES)[number];

/**
 * 'on-failure:5' -> { policy: 'on-failure', maxTries: 5 }
 * @throws SkerryError `invalid`
 */
export function parseRestart(text: string): { policy: RestartPolicyName; maxTries?: number } {
  const [name = '', tries, ...more] = text.trim().split(':');
  const policy = RESTART_POLICIES.find((known) => known === name);
  const maxTries = tries === undefined ? undefined : Number(tries);
  const isCount = tries === undefined || (/^\d{1,4}$/.test(tries) && maxTries !== 0);
  if (policy === undefined || more.length > 0 || !isCount || (policy === 'never' && tries !== undefined)) {
    throw new SkerryError('invalid', `'${text}' is no restart policy`, {
      remedy: 'Write never, on-failure, always, or with the most tries in a row: on-failure:5.',
    });
  }
  return maxTries === undefined ? { policy } : { policy, maxTries };
}

export function formatRestart({
  policy,
  maxTries,
}: {
  policy: RestartPolicyName;
  maxTries?: number | undefined;
}): string {
  return maxTries === undefined ? policy : `${policy}:${maxTries}`;
}
