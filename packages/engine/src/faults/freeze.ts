import { SkerryError } from '@skerry/api';
import type { MachineFault } from './machine-act.ts';

/** Its CPUs stand still. The machine has a lease of its own, which lets them go on. */
export const freeze: MachineFault = {
  async begin({ status }, vm, { machine }) {
    await machine.freeze(untilMs(status.endsAt));
    if (machine.isFrozen()) return {};
    throw new SkerryError('failed', `${vm.name} could not be frozen: its CPUs run on`, { remedy: 'Try again.' });
  },
  async end(_, { machine }) {
    await machine.thaw();
  },
  async takeUp({ status }, { machine }) {
    // One that the user has paused meanwhile has no lease: nothing would be let go on.
    if (!machine.isFrozen() && machine.state() !== 'paused') return false;
    await machine.freeze(untilMs(status.endsAt));
    return true;
  },
};

function untilMs(endsAt: string | undefined): number {
  return endsAt === undefined ? Infinity : Date.parse(endsAt);
}
