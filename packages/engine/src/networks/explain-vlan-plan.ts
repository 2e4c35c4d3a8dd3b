import type { ExplainCause } from '@skerry/api';
import { cause, changeNic, type FactNic, type FactVm, type GuestInterface, nicName } from './explain-model.ts';

/** Pure: which VLAN a frame is of, and who of a segment hears it. */

/** A NIC, and whose it is. */
export interface End {
  readonly vm: FactVm;
  readonly nic: FactNic;
}

/** Of what an interface of the guest sends. @returns undefined: of none; a cause: the frame is dropped at the port */
export function vlanSent({ vm, nic }: End, from: GuestInterface): number | undefined | ExplainCause {
  const name = nicName(vm, nic);
  if (from.vlan !== undefined) {
    if (isInTrunk(nic, from.vlan)) return from.vlan;
    const isOwn = nic.vlan === from.vlan;
    return cause(
      'vlan',
      name,
      isOwn
        ? `${from.name} in ${vm.name} tags its frames with VLAN ${from.vlan}, which ${name} is in without a tag`
        : `${from.name} in ${vm.name} tags its frames with VLAN ${from.vlan}, and ${name} may not send that tag`,
      isOwn ? `Use ${from.name.split('.')[0]} in ${vm.name}, without the VLAN.` : setTrunk(vm, nic, from.vlan),
    );
  }
  return nic.trunk !== undefined && nic.vlan === undefined ? needsTag(vm, nic) : nic.vlan;
}

/** Why a NIC does not hear a VLAN of its segment. */
export function vlanTrouble(a: End, vlan: number | undefined, b: End): ExplainCause | undefined {
  const { vm, nic } = b;
  if (vlan === nic.vlan && (vlan !== undefined || nic.trunk === undefined)) return undefined;
  if (vlan !== undefined && isInTrunk(nic, vlan)) return undefined;
  if (nic.trunk !== undefined && nic.vlan === undefined && vlan === undefined) return needsTag(vm, nic);
  const [nameA, nameB] = [nicName(a.vm, a.nic), nicName(vm, nic)];
  return cause(
    'vlan',
    nameB,
    `${nameA} ${a.nic.trunk === undefined ? 'is' : 'sends'} ${said(vlan)}, ${nameB} is ${nic.trunk === undefined ? said(nic.vlan) : `a trunk of ${ranges(nic)}`}`,
    vlan === undefined
      ? changeNic(vm, nic, '--vlan none')
      : nic.trunk === undefined
        ? changeNic(vm, nic, `--vlan ${vlan}`)
        : setTrunk(vm, nic, vlan),
  );
}

/** The gateway is in no VLAN. */
export function gatewayVlanTrouble({ vm, nic }: End, vlan: number | undefined): ExplainCause | undefined {
  if (vlan === undefined) return undefined;
  return cause(
    'vlan',
    nicName(vm, nic),
    `${nicName(vm, nic)} is ${said(vlan)}, and the gateway is in none: a VLAN leads nowhere but to its other NICs`,
    `skerry nic add ${vm.name} --network ${nic.network}`,
  );
}

/** The tag that a frame of this VLAN has when the guest gets it; undefined: none. */
export function tagAt(nic: FactNic, vlan: number | undefined): number | undefined {
  return vlan === nic.vlan ? undefined : vlan;
}

function isInTrunk(nic: FactNic, vlan: number): boolean {
  return vlan !== nic.vlan && (nic.trunk ?? []).some(({ from, to }) => from <= vlan && vlan <= to);
}

function needsTag(vm: FactVm, nic: FactNic): ExplainCause {
  const name = nicName(vm, nic);
  const eth = name.slice(name.lastIndexOf(':') + 1);
  const vlan = nic.trunk?.[0]?.from ?? 1;
  return cause(
    'vlan',
    name,
    `${name} is a trunk of ${ranges(nic)}: frames without a tag are of no VLAN there`,
    `Use an interface of the VLAN in the guest: \`skerry exec ${vm.name} -- ip link add link ${eth} name ${eth}.${vlan} type vlan id ${vlan}\`.`,
  );
}

function setTrunk(vm: FactVm, nic: FactNic, vlan: number): string {
  const all = [...(nic.trunk ?? []).map(({ from, to }) => (from === to ? `${from}` : `${from}-${to}`)), `${vlan}`];
  return changeNic(vm, nic, `--trunk ${all.join(',')}`);
}

function ranges({ trunk = [] }: FactNic): string {
  return trunk.map(({ from, to }) => (from === to ? `${from}` : `${from}-${to}`)).join(', ');
}

function said(vlan: number | undefined): string {
  return vlan === undefined ? 'in no VLAN' : `in VLAN ${vlan}`;
}
