import { FAULT, FAULT_KIND, TAG } from './protocol.ts';
import { TlvWriter, type Tlvs } from './tlv.ts';
import type { GuestFault } from './types.ts';

/** What is said of faults in the guest, as values. */

const KINDS = {
  crash: FAULT_KIND.CRASH,
  cpu: FAULT_KIND.CPU,
  memory: FAULT_KIND.MEMORY,
  clock: FAULT_KIND.CLOCK,
} as const satisfies Record<GuestFault, number>;

export function faultValues(action: keyof typeof FAULT, kind: GuestFault, amount?: number, forMs?: number): TlvWriter {
  return new TlvWriter()
    .u32(TAG.ACTION, FAULT[action])
    .u32(TAG.KIND, KINDS[kind])
    .u64(TAG.AMOUNT, amount === undefined ? undefined : BigInt.asUintN(64, BigInt(Math.round(amount))))
    .u64(TAG.TIMEOUT_MS, forMs === undefined ? undefined : Math.max(1, Math.round(forMs)));
}

export function faultStatus(values: Tlvs): { active: boolean; amount: number } {
  return { active: values.number(TAG.STATE) === 1, amount: values.signed(TAG.AMOUNT) };
}
