import { Readable } from 'node:stream';
import { SkerryError, type StartReport, type Vm } from '@skerry/api';
import type { Driver, Machine, VmLaunch } from '../hypervisors/index.ts';
import type { GuestSecrets } from '../secrets/index.ts';
import type { AgentClient } from './agent/index.ts';
import { setNewCables } from './cables.ts';
import { mountShares } from './guest-shares.ts';
import { assertDiskSize, diskLayers, diskSizeBytes, ensureDisk, hasDisk, startOnLayer } from './disks.ts';
import { identityOf, vmLaunch, type LaunchDirs, type LaunchHost } from './launch.ts';
import { LiveVm, type LiveVmOptions } from './live.ts';
import { memoryLack } from './memory-need-plan.ts';
import type { ShareDirectories } from './share-directories.ts';
import { agentKeepsCommand } from './restart-plan.ts';
import type { BootFiles, PoolMember, VmNetworks, VmSecrets, VmTemplates, WorkOptions } from './ports.ts';
import { giveSecrets } from './secrets.ts';
import type { Turns } from './turns.ts';
import type { Waterfall } from './waterfall.ts';

/** Starts a VM that has no memory yet: as a clone that has waited, as one that is made now, or by booting it. */

export interface StartPorts {
  readonly driver: Driver;
  readonly networks: VmNetworks;
  readonly templates: VmTemplates;
  readonly secrets: VmSecrets;
  readonly turns: Turns;
  readonly shares: Pick<ShareDirectories, 'resolve'>;
}

export interface StartInput {
  readonly vm: Vm;
  readonly boot: BootFiles;
  readonly host: LaunchHost;
  readonly dirs: LaunchDirs;
  readonly waterfall: Waterfall;
  readonly secrets: GuestSecrets;
}

export interface Started {
  readonly live: LiveVm;
  readonly report: StartReport;
}

/** How a VM comes up. */
interface Way {
  readonly launch: VmLaunch;
  readonly templateId?: string | undefined;
  readonly layerPath?: string | undefined;
  readonly coldReason?: string | undefined;
}

interface Progress {
  /** Something of the user's may have run. What fails from then on is theirs: another way would fail as well. */
  hasBegun: boolean;
}

/** A member has shown that it answers. */
const MEMBER_TIMEOUT_MS = 5000;

/** When it throws, no process is left of it. @param member of a pool that the VM was made from */
export async function startVm(
  ports: StartPorts,
  input: StartInput,
  member: PoolMember | undefined,
  liveOptions: LiveVmOptions,
  work: WorkOptions,
): Promise<Started> {
  const { vm, boot, host, dirs, waterfall } = input;
  const progress = { hasBegun: false };
  if (member !== undefined) {
    try {
      return await wakeMember(ports, input, member, progress, work);
    } catch (error) {
      const problem = SkerryError.from(error);
      if (problem.code === 'cancelled' || progress.hasBegun) throw problem;
      await member.giveUp(problem.message);
      waterfall.mark('failed-member');
    }
  }
  assertStartable(vm, boot);
  const nics = await ports.networks.nicsOf(vm);
  const shares = await ports.shares.resolve(vm.spec.shares);
  const planned = async (): Promise<VmLaunch> =>
    vmLaunch(vm, boot, nics, host, dirs, await diskLayers(dirs.dir), shares);
  const isUntouched = !(await hasDisk(dirs.dir));
  if (isUntouched) assertDiskSize(boot.image, vm.spec.diskMib);
  const cold = await planned();
  waterfall.mark('prepare');
  let way = await chooseWay(ports.templates, cold, input, isUntouched, work);
  const sizeBytes = diskSizeBytes(boot.image, vm.spec.diskMib);
  if (way.layerPath !== undefined && !(await startOnLayer(dirs.dir, way.layerPath, sizeBytes, work.signal))) {
    // It was let go of meanwhile, or somebody has removed it.
    await ports.templates.distrust(way.templateId ?? '', 'its layer has gone');
    way = await chooseWay(ports.templates, cold, input, false, work);
  }
  if (way.layerPath === undefined) await ensureDisk(dirs.dir, boot.image, vm.spec.diskMib, work.signal);
  if (way.templateId !== undefined) waterfall.mark('template');
  const { disks } = await planned();
  try {
    return await comeUp(ports, input, { ...way, launch: { ...way.launch, disks } }, progress, liveOptions, work);
  } catch (error) {
    const problem = SkerryError.from(error);
    if (way.templateId === undefined || problem.code === 'cancelled' || progress.hasBegun) throw problem;
    await ports.templates.distrust(way.templateId, problem.message);
    waterfall.mark('failed-clone');
    const coldReason = `the template failed: ${problem.message}`;
    return comeUp(ports, input, { launch: { ...cold, disks }, coldReason }, progress, liveOptions, work);
  }
}

/** It had enough when it was made: the kernel may be another now, as after the cache was cleared. */
function assertStartable({ name, spec }: Vm, boot: BootFiles): void {
  const lack = memoryLack(spec, boot);
  if (lack === undefined) return;
  throw new SkerryError('invalid', lack.message, {
    remedy: `Give it more: \`skerry set ${name} --memory ${lack.neededMib}Mi\`${lack.instead}.`,
  });
}

async function chooseWay(
  templates: VmTemplates,
  cold: VmLaunch,
  { vm, boot }: StartInput,
  isUntouched: boolean,
  work: WorkOptions,
): Promise<Way> {
  if (vm.spec.cold) return { launch: cold };
  if (cold.shares?.some(({ how }) => how === 'virtiofs') === true) {
    return { launch: cold, coldReason: 'virtiofs needs memory that no template has' };
  }
  const want = {
    launch: cold,
    diskBytes: [diskSizeBytes(boot.image, vm.spec.diskMib)],
    image: vm.spec.image,
    ...(isUntouched ? { root: boot.image } : {}),
  };
  const choice = await templates.choose(want, work.signal);
  return 'coldReason' in choice ? { launch: cold, coldReason: choice.coldReason } : choice;
}

async function comeUp(
  { driver, networks }: StartPorts,
  { vm, boot, host, dirs, waterfall, secrets }: StartInput,
  { launch, templateId, layerPath, coldReason }: Way,
  progress: Progress,
  liveOptions: LiveVmOptions,
  { signal, onProgress }: WorkOptions,
): Promise<Started> {
  await using undo = new AsyncDisposableStack();
  const nics = await networks.nicsOf(vm);
  undo.defer(() => networks.detach(vm.id));
  const machine = await driver.start(launch, { signal, onPhase: (name) => waterfall.mark(name) });
  // The switch connects while the guest boots.
  const attached = networks.attach(vm, dirs.runtimeDir);
  attached.catch(() => undefined);

  const live = new LiveVm(machine, host.uid, liveOptions);
  undo.defer(() => endMachine(machine, live));
  await setNewCables(machine, vm, networks);
  onProgress?.(templateId === undefined ? 'booting' : 'cloning');
  const agent = await live.connectAgent(signal);
  waterfall.mark(templateId === undefined ? 'boot' : 'resume');
  await agent.identify(
    identityOf(vm, nics, boot.image.env, secrets.env, {
      lacksRoot: templateId !== undefined && layerPath === undefined,
      hasForeignKeys: vm.status.start === undefined,
      hasForeignBootId: false,
      currentMacs: launch.nics.map(({ mac }) => mac),
    }),
  );
  waterfall.mark('identify');
  await attached;
  waterfall.mark('network');
  live.shares = await mountShares(agent, vm.spec.shares ?? [], { signal });
  if (live.shares.length > 0) waterfall.mark('shares');
  progress.hasBegun = true;
  if (await startCommand(agent, vm, boot, secrets)) waterfall.mark('command');
  undo.move();
  const report = waterfall.report({
    how: templateId === undefined ? 'cold' : 'clone',
    ...(templateId === undefined ? {} : { template: templateId }),
    ...(coldReason === undefined ? {} : { coldReason }),
    kernel: boot.kernel.which,
    accelerator: host.accelerator,
    machine: boot.kernel.machine,
    reclaimsMemory: launch.reclaimsMemory,
    nicDevices: launch.nics.length,
  });
  return { live, report };
}

/** It has its disk and keys of its own since its rehearsal: what is left is who it is. */
async function wakeMember(
  { networks }: StartPorts,
  { vm, boot, host, dirs, waterfall, secrets }: StartInput,
  { live, mac, templateId }: PoolMember,
  progress: Progress,
  { signal, onProgress }: WorkOptions,
): Promise<Started> {
  await using undo = new AsyncDisposableStack();
  undo.defer(() => networks.detach(vm.id));
  undo.defer(() => endMachine(live.machine, live));
  onProgress?.('waking one of the pool');
  const nics = await networks.nicsOf(vm);
  waterfall.mark('prepare');
  // What it was called in its rehearsal is an address that nobody asks for, so it may be heard at once.
  const attached = networks.attach(vm, dirs.runtimeDir);
  attached.catch(() => undefined);
  await setNewCables(live.machine, vm, networks);
  await live.machine.resume();
  waterfall.mark('resume');
  const { agent } = live;
  const origin = { lacksRoot: false, hasForeignKeys: false, hasForeignBootId: false, currentMacs: [mac] };
  await agent.identify(identityOf(vm, nics, boot.image.env, secrets.env, origin), {
    signal,
    timeoutMs: MEMBER_TIMEOUT_MS,
  });
  waterfall.mark('identify');
  await attached;
  waterfall.mark('network');
  progress.hasBegun = true;
  if (await startCommand(agent, vm, boot, secrets)) waterfall.mark('command');
  undo.move();
  const report = waterfall.report({
    how: 'pool',
    template: templateId,
    kernel: boot.kernel.which,
    accelerator: host.accelerator,
    machine: boot.kernel.machine,
    reclaimsMemory: false,
    nicDevices: live.machine.sockets.nics.length,
  });
  return { live, report };
}

/** In this order: a machine that was let go of does not tell of its end. */
export async function endMachine(machine: Machine, live: LiveVm): Promise<void> {
  await machine.kill();
  live.detach();
}

/** Its secrets and files, then the process that the agent keeps. @returns false when it has none of them */
async function startCommand(agent: AgentClient, vm: Vm, boot: BootFiles, secrets: GuestSecrets): Promise<boolean> {
  await giveSecrets(agent, secrets);
  for (const file of vm.spec.files) {
    const content = Readable.from([Buffer.from(file.contentBase64, 'base64')]);
    await agent.put(file.path, content, { mode: file.mode, makeParents: true });
  }
  const command = vm.spec.command ?? boot.image.command;
  const restart = agentKeepsCommand(vm.spec) ? 'on-failure' : 'never';
  if (command !== undefined) await agent.service.set({ argv: [...command], restart });
  return secrets.files.length > 0 || vm.spec.files.length > 0 || command !== undefined;
}
