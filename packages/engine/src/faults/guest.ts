import { setTimeout as sleep } from 'node:timers/promises';
import { formatPercent, SkerryError, type FaultStatus, type Vm } from '@skerry/api';
import type { LiveVm } from '../vms/index.ts';
import type { MachineFault, VmFaultResource } from './machine-act.ts';

/** What the agent does in the guest. It has the time of the end, too, so nobody of the host is needed for that. */

/** A guest that has less free gets there as far as it can. */
const FILLED_WITHIN_MS = 5000;
const FILL_CHECK_MS = 50;
/** Of what was asked: the kernel counts its own needs in pages. */
const NEARLY = 0.98;
const CRASHED_WITHIN_MS = 15_000;
/** A guest that is asked whether a fault is over is not waited for: it has ended it, or it stands still. */
const END_TIMEOUT_MS = 5000;

export const cpu: MachineFault = {
  begin: async (fault, vm, live) => {
    await beginIn(fault, vm, live, 'cpu', (fault.spec.amount ?? 1) * 1000);
    return {};
  },
  ...endsIn('cpu'),
};

export const clock: MachineFault = {
  begin: async (fault, vm, live) => {
    await beginIn(fault, vm, live, 'clock', (fault.spec.amount ?? 0) * 1000);
    return {};
  },
  ...endsIn('clock'),
};

export const memory: MachineFault = {
  begin: async (fault, vm, live) => {
    const agent = await agentOf(vm, live);
    const { memoryTotalKib } = await agent.stats();
    const wantedKib = Math.floor((fault.spec.amount ?? 0) * memoryTotalKib);
    await beginIn(fault, vm, live, 'memory', wantedKib);
    const takenKib = await filled(live, wantedKib);
    if (takenKib >= wantedKib * NEARLY) return {};
    const amount = Number((takenKib / memoryTotalKib).toFixed(3));
    return { amount, message: `${formatPercent(amount)} is all that was free` };
  },
  ...endsIn('memory'),
};

export const crash: MachineFault = {
  async begin(_, vm, live) {
    const agent = await agentOf(vm, live);
    await agent.beginFault('crash', 0, undefined);
    const late = sleep(CRASHED_WITHIN_MS, undefined, { ref: false });
    const exit = await Promise.race([live.machine.exited, late]);
    if (exit !== undefined) return { message: exit.reason };
    throw new SkerryError('timeout', `The kernel of ${vm.name} was to panic, and has not`, {
      remedy: `See \`skerry console ${vm.name}\`; \`skerry kill ${vm.name}\` ends it.`,
    });
  },
  end: async () => undefined,
  takeUp: async () => false,
};

async function agentOf(vm: Vm, live: LiveVm) {
  if (!live.machine.isFrozen()) return live.agentSoon();
  throw new SkerryError('wrong-state', `${vm.name} is frozen: nothing can be done in it`, {
    remedy: `Wait until it goes on, or let it: \`skerry fault clear ${vm.name}\`.`,
  });
}

type WithEnd = 'cpu' | 'memory' | 'clock';

async function beginIn({ status }: VmFaultResource, vm: Vm, live: LiveVm, kind: WithEnd, amount: number) {
  const agent = await agentOf(vm, live);
  const forMs = status.endsAt === undefined ? undefined : Date.parse(status.endsAt) - Date.now();
  await agent.beginFault(kind, amount, forMs);
  if ((await agent.faultStatus(kind)).active) return;
  throw new SkerryError('failed', `The guest does not say that the fault has begun`, {
    remedy: 'Give it a longer time with --for.',
  });
}

function endsIn(kind: WithEnd): Pick<MachineFault, 'end' | 'takeUp'> {
  return {
    async end({ status }, live) {
      try {
        const agent = await live.agentSoon();
        await agent.endFault(kind, { timeoutMs: END_TIMEOUT_MS });
        const { active } = await agent.faultStatus(kind, { timeoutMs: END_TIMEOUT_MS });
        if (active) throw new SkerryError('failed', 'The guest does not end it', { remedy: 'Restart the VM.' });
      } catch (error) {
        // It ends by itself, if it has an end: a guest that does not answer now goes on without it.
        if (isDueFor(status) || live.machine.state() === 'ended') return;
        throw error;
      }
    },
    // Asked only at its end: a guest may take its time to answer a new daemon.
    takeUp: async () => true,
  };
}

function isDueFor({ endsAt }: FaultStatus): boolean {
  return endsAt !== undefined && Date.parse(endsAt) <= Date.now();
}

async function filled(live: LiveVm, wantedKib: number): Promise<number> {
  const deadline = performance.now() + FILLED_WITHIN_MS;
  for (let before = -1; ; await sleep(FILL_CHECK_MS)) {
    const { amount: kib } = await live.agent.faultStatus('memory');
    // Nearly there, or there is no more to be had.
    if (kib >= wantedKib * NEARLY || (kib === before && kib > 0) || performance.now() > deadline) return kib;
    before = kib;
  }
}
