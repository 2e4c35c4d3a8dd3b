import type { ErrorBody, UpgradeFinding } from '@skerry/api';

/** Pure: what this Skerry would do with what another one has left or runs. */

export interface UpgradeFacts {
  /** Format of the store's file, and the newest that this Skerry knows. */
  readonly store: { readonly version: number; readonly known: number };
  /** Its resources, or why they can't be read. */
  readonly resources: { readonly total: number; readonly changed: readonly string[] } | ErrorBody;
  readonly vms: readonly VmFacts[];
  /** Of the agents' protocol. */
  readonly protocol: { readonly oldest: number; readonly newest: number };
  readonly qemuVersion: string | undefined;
  /** Those that the running daemon holds. */
  readonly templates: ReadonlyArray<{ readonly id: string; readonly state: string; readonly qemuVersion: string }>;
}

export interface VmFacts {
  readonly name: string;
  /** Why the process that the store knows of can't be taken up; undefined: it can. */
  readonly problem: string | undefined;
  /** That its agent speaks; undefined: its agent has not answered yet. */
  readonly protocol: number | undefined;
}

export function planUpgrade(facts: UpgradeFacts): UpgradeFinding[] {
  return [
    storeFinding(facts.store),
    resourcesFinding(facts.resources),
    vmsFinding(facts.vms),
    agentsFinding(facts),
    qemuFinding(facts.qemuVersion),
    templatesFinding(facts),
  ];
}

function storeFinding({ version, known }: UpgradeFacts['store']): UpgradeFinding {
  if (version > known) {
    return {
      id: 'store',
      state: 'blocked',
      message: `the store has format ${version}; this Skerry knows ${known}`,
      remedy: 'Use the newer Skerry that wrote it.',
    };
  }
  if (version === known) return { id: 'store', state: 'ok', message: `the store has this version's format, ${known}` };
  return {
    id: 'store',
    state: 'attention',
    message: `the store is brought from format ${version} to ${known}; the older Skerry can't read it then`,
    remedy: 'Keep a backup: `skerry daemon backup --to FILE`.',
  };
}

function resourcesFinding(resources: UpgradeFacts['resources']): UpgradeFinding {
  if ('code' in resources) {
    return { id: 'resources', state: 'blocked', message: resources.message, remedy: resources.remedy };
  }
  const { total, changed } = resources;
  if (changed.length === 0) return { id: 'resources', state: 'ok', message: `${total} resources stay as they are` };
  return {
    id: 'resources',
    state: 'attention',
    message: `${changed.length} of ${total} resources are written anew with what was added since: ${some(changed)}`,
    remedy: 'Keep a backup: `skerry daemon backup --to FILE`.',
  };
}

function vmsFinding(vms: readonly VmFacts[]): UpgradeFinding {
  const lost = vms.filter(({ problem }) => problem !== undefined);
  if (lost.length === 0) {
    const message =
      vms.length === 0 ? 'no VM runs' : `${vms.length} running VMs are taken up again; they go on meanwhile`;
    return { id: 'vms', state: 'ok', message };
  }
  return {
    id: 'vms',
    state: 'blocked',
    message: `these VMs can't be taken up: ${some(lost.map(({ name, problem }) => `${name} (${problem})`))}`,
    remedy: 'Stop them with the daemon that runs, then upgrade.',
  };
}

function agentsFinding({ vms, protocol: { oldest, newest } }: UpgradeFacts): UpgradeFinding {
  const strange = vms.filter(({ protocol = oldest }) => protocol < oldest || protocol > newest);
  if (strange.length === 0) {
    return { id: 'agents', state: 'ok', message: `agents that speak protocol ${oldest} to ${newest} are served` };
  }
  return {
    id: 'agents',
    state: 'blocked',
    message: `agents of these VMs would not be understood: ${some(strange.map(({ name }) => name))}`,
    remedy: 'Stop these VMs before the upgrade and start them after it: they get the new agent.',
  };
}

function qemuFinding(version: string | undefined): UpgradeFinding {
  if (version !== undefined) return { id: 'qemu', state: 'ok', message: `VMs start with QEMU ${version} from then on` };
  return {
    id: 'qemu',
    state: 'attention',
    message: 'QEMU is not installed: no VM can be started',
    remedy: 'apt-get install --no-install-recommends qemu-system-x86 qemu-utils',
  };
}

/** What else goes into a template (kernel, agent) is looked at when a VM starts. */
function templatesFinding({ templates, qemuVersion }: UpgradeFacts): UpgradeFinding {
  const old = templates.filter(
    (template) => template.state === 'stale' || (template.state === 'ready' && template.qemuVersion !== qemuVersion),
  );
  if (old.length === 0)
    return { id: 'templates', state: 'ok', message: `${templates.length} templates are up to date` };
  return {
    id: 'templates',
    state: 'attention',
    message: `${old.length} of ${templates.length} templates are out of date: ${some(old.map(({ id }) => id))}`,
    remedy: 'Nothing has to be done: the next start of each shape makes a new one, and takes a second longer.',
  };
}

function some(names: readonly string[]): string {
  return names.length <= 5 ? names.join(', ') : `${names.slice(0, 5).join(', ')} and ${names.length - 5} more`;
}
