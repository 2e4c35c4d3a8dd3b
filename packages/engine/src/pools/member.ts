import { mkdir, rm } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { SkerryError, VmSpec, type Vm } from '@skerry/api';
import type { Driver } from '../hypervisors/index.ts';
import { killJailed } from '../hypervisors/index.ts';
import {
  diskLayers,
  diskSizeBytes,
  endMachine,
  ensureDisk,
  identityOf,
  LiveVm,
  vmLaunch,
  type BootFiles,
  type HostProfile,
  type LaunchDirs,
  type LiveVmOptions,
  type VmNic,
  type VmTemplates,
} from '../vms/index.ts';

/** One member: a clone that has been somebody once, so that becoming somebody else costs little, and stands still. */

/** After its answer the guest is still busy for some milliseconds, which whoever takes it would go on with. */
const SETTLE_MS = 50;
const END_TIMEOUT_MS = 10_000;

/** Addresses of TEST-NET-1 (RFC 5737): nobody has them, and nobody asks for them. */
const PLACEHOLDER = {
  network: 'default',
  prefixLength: 24,
  gateway: '192.0.2.1',
  routes: [],
  dns: ['192.0.2.1'],
  domain: 'pool',
};

export interface MemberPorts {
  readonly driver: Driver;
  readonly templates: VmTemplates;
  readonly liveOptions: (id: string) => LiveVmOptions;
}

export interface MemberInput {
  readonly id: string;
  readonly image: string;
  readonly cpus: number;
  readonly memoryMib: number;
  readonly mac: string;
  readonly boot: BootFiles;
  readonly profile: HostProfile;
  /** The user of its process. */
  readonly uid: number | undefined;
  readonly dirs: LaunchDirs;
}

/** When it throws, no process is left of it. @throws SkerryError `unsupported` (it can only boot), ... */
export async function makeMember(
  { driver, templates, liveOptions }: MemberPorts,
  { id, image, cpus, memoryMib, mac, boot, profile, uid, dirs }: MemberInput,
  signal: AbortSignal,
): Promise<{ readonly live: LiveVm; readonly templateId: string }> {
  await Promise.all([dirs.dir, dirs.runtimeDir].map((dir) => mkdir(dir, { recursive: true, mode: 0o700 })));
  await ensureDisk(dirs.dir, boot.image, undefined, signal);
  const nic = { ...PLACEHOLDER, index: 0, mac, socketName: 'nic0' };
  const spec = VmSpec.parse({ image, cpus, memoryMib });
  const vm = nobody(id, spec, boot.image.digest);
  const cold = vmLaunch(vm, boot, [{ ...nic, address: '' }], { ...profile, uid }, dirs, await diskLayers(dirs.dir));
  const choice = await templates.choose(
    { launch: cold, diskBytes: [diskSizeBytes(boot.image, undefined)], image },
    signal,
  );
  if ('coldReason' in choice) {
    throw new SkerryError('unsupported', `none can wait, for it would have to boot: ${choice.coldReason}`, {
      remedy: 'See `skerry template list`, and the policy of the image.',
    });
  }
  try {
    const live = new LiveVm(await driver.start(choice.launch, { signal }), uid, liveOptions(id));
    try {
      await rehearse(
        live,
        vm,
        nic,
        boot,
        choice.launch.nics.map((each) => each.mac),
        signal,
      );
    } catch (error) {
      await endMachine(live.machine, live);
      throw error;
    }
    return { live, templateId: choice.templateId };
  } catch (error) {
    // One that was given up in the middle says nothing about its template, whatever it failed with.
    if (!signal.aborted) await templates.distrust(choice.templateId, SkerryError.from(error).message);
    throw error;
  }
}

/** Twice: the first time as a clone, the second as whoever takes it will. Its keys are its own from then on. */
async function rehearse(
  live: LiveVm,
  vm: Vm,
  nic: Omit<VmNic, 'address'>,
  boot: BootFiles,
  templateMacs: readonly string[],
  signal: AbortSignal,
): Promise<void> {
  const agent = await live.connectAgent(signal);
  const { env } = boot.image;
  const first = { lacksRoot: true, hasForeignKeys: true, hasForeignBootId: false, currentMacs: templateMacs };
  await agent.identify(identityOf(vm, [{ ...nic, address: '192.0.2.2' }], env, {}, first), { signal });
  const second = { lacksRoot: false, hasForeignKeys: false, hasForeignBootId: false, currentMacs: [nic.mac] };
  const other = { ...vm, name: `${vm.name}-2` };
  await agent.identify(identityOf(other, [{ ...nic, address: '192.0.2.3' }], env, {}, second), { signal });
  await sleep(SETTLE_MS, undefined, { signal });
  await live.machine.pause();
}

/** Ends what may run in its directories, whoever started it, and removes them. */
export async function removeMember({ dir, runtimeDir }: LaunchDirs): Promise<void> {
  await killJailed(dir, { signal: AbortSignal.timeout(END_TIMEOUT_MS) });
  for (const each of [runtimeDir, dir]) await rm(each, { recursive: true, force: true });
}

function nobody(id: string, spec: VmSpec, imageDigest: string): Vm {
  const now = new Date().toISOString();
  return {
    kind: 'vm',
    id,
    name: 'pool',
    project: 'default',
    labels: {},
    createdAt: now,
    updatedAt: now,
    revision: 0,
    spec,
    status: { state: 'stopped', health: 'none', nics: [], warnings: [], imageDigest, restarts: 0 },
  };
}
