import { homedir } from 'node:os';
import { shareRoots, type AdmissionLimits, type ShareRules } from '@skerry/engine';
import { parseDurationMs, parseMemoryMib, SkerryError } from '@skerry/api';
import type { DaemonPaths } from './paths.ts';

/** What the environment says to the daemon. */

/** SKERRY_SHARE_ROOTS=/srv:/home/ada/src: what VMs may see of this host. */
export function shareRules({ dataDir, runtimeDir, cacheDir }: DaemonPaths): ShareRules {
  return {
    roots: shareRoots(process.env['SKERRY_SHARE_ROOTS']),
    home: homedir(),
    uid: process.getuid?.() ?? 0,
    ownDirs: [dataDir, runtimeDir, cacheDir],
  };
}

/** SKERRY_AGENT_TIMEOUT=5m: for hosts so slow, or so busy, that a guest takes longer to boot than we would wait. */
export function agentTimeoutMs(text: string | undefined): number | undefined {
  return text === undefined || text === '' ? undefined : parseDurationMs(text);
}

/** SKERRY_MEMORY_BUDGET=4Gi: what all VMs together may be promised. SKERRY_MEMORY_OVERCOMMIT=1: no more than there is. */
export function admissionLimits(env: NodeJS.ProcessEnv): AdmissionLimits {
  const { SKERRY_MEMORY_BUDGET: budget = '', SKERRY_MEMORY_OVERCOMMIT: factor = '' } = env;
  const overcommit = factor === '' ? undefined : Number(factor);
  if (overcommit !== undefined && !(overcommit > 0 && overcommit <= 100)) {
    throw new SkerryError('invalid', `SKERRY_MEMORY_OVERCOMMIT is '${factor}', not a factor`, {
      remedy: 'Set it to a number such as 1.5 (more may be promised than there is) or 1 (no more).',
    });
  }
  return { overcommit, budgetMib: budget === '' ? undefined : parseMemoryMib(budget) };
}
