import { isDeepStrictEqual } from 'node:util';
import { SkerryError, type FaultSpec, type Impairment, type Vm } from '@skerry/api';
import type { PortImpairment } from '@skerry/switch';

/** Pure: faults of NICs, as the switch takes them. */

export type NicFaultSpec = Extract<FaultSpec, { readonly kind: 'impair' | 'link-down' }>;

/** 'shop/web:eth1' -> { vm: 'shop/web', index: 1 }. @throws SkerryError `invalid` */
export function parseNic(text: string): { readonly vm: string; readonly index: number } {
  const [, vm, index] = /^([^:]+):eth(\d)$/.exec(text) ?? [];
  if (vm !== undefined && index !== undefined) return { vm, index: Number(index) };
  throw new SkerryError('invalid', `'${text}' is no NIC`, { remedy: 'Write VM:ethN, such as web:eth0.' });
}

/**
 * @param indexes of the NICs that it has
 * @throws SkerryError `not-found`, `wrong-state`; of an impairment `invalid`
 */
export function planNicFault(spec: NicFaultSpec, vm: Vm, indexes: readonly number[]): NicFaultSpec {
  const { index } = parseNic(spec.nic);
  if (!indexes.includes(index)) {
    const has = indexes.length === 0 ? 'It has none.' : `It has ${indexes.map((each) => `eth${each}`).join(', ')}.`;
    throw new SkerryError('not-found', `${vm.name} has no eth${index}`, { remedy: has });
  }
  if (vm.status.state !== 'running' && vm.status.state !== 'paused') {
    throw new SkerryError('wrong-state', `${vm.name} is ${vm.status.state}: nothing passes its NICs`, {
      remedy: `Type \`skerry start ${vm.name}\`.`,
    });
  }
  if (spec.kind === 'impair' && !doesSomething(spec.impairment)) {
    throw new SkerryError('invalid', 'Nothing is said that would happen to frames', {
      remedy: 'Give --delay 20ms, --loss 1%, --rate 20mbit or another of the options.',
    });
  }
  return { ...spec, nic: `${vm.name}:eth${index}` };
}

/**
 * Whether the switch says that a port has an impairment. `no wire`: it is the end of a link whose other end does not run. Nothing
 * passes then, and the switch is told of it once there is a wire.
 * @param ports those of the switch; undefined: none runs
 */
export function saysSwitch(
  ports:
    | ReadonlyArray<{ readonly id: string; readonly impairments?: readonly PortImpairment[] | undefined }>
    | undefined,
  id: string,
  impairment: PortImpairment,
): 'on' | 'off' | 'no wire' {
  const port = ports?.find((each) => each.id === id);
  if (ports !== undefined && port === undefined) return 'no wire';
  return port?.impairments?.some((each) => isDeepStrictEqual(each, impairment)) === true ? 'on' : 'off';
}

function doesSomething({ jitterMs: _, ...impairment }: Impairment): boolean {
  return Object.values(impairment).some((value = 0) => value > 0);
}

/** a2b is what the NIC sends. */
export function portImpairment(spec: NicFaultSpec, seed: number, untilMs: number | undefined): PortImpairment {
  const end = untilMs === undefined ? {} : { untilMs };
  if (spec.kind === 'link-down') return { down: true, seed, ...end };
  const { dir, impairment } = spec;
  return {
    ...(dir === 'b2a' ? {} : { out: impairment }),
    ...(dir === 'a2b' ? {} : { in: impairment }),
    seed,
    ...end,
  };
}
