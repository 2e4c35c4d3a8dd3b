import { access } from 'node:fs/promises';
import { SkerryError, type Vm } from '@skerry/api';
import type { LaunchOrigin, LaunchTap, Machine, VmLaunch } from '../hypervisors/index.ts';
import type { NicChange } from './agent/index.ts';
import { setAllCables } from './cables.ts';
import { diskLayers } from './disks.ts';
import { letGoOfShares, mountAgain } from './guest-shares.ts';
import { identityOf, vmLaunch } from './launch.ts';
import { assertNotFrozen, LiveVm, type LiveVmOptions } from './live.ts';
import { layoutOf, markUsed, recordMemory, removeMemory, statePath, versionOf, type MemoryRecord } from './memory.ts';
import { shapeOf } from './model.ts';
import { deviceMacs, spareMac } from './nic-plan.ts';
import type { VmNic, WorkOptions } from './ports.ts';
import { giveSecrets } from './secrets.ts';
import { endMachine, type Started, type StartInput, type StartPorts } from './start.ts';

/** Memory to disk, and back. */

/** Leaves the VM paused, its memory on disk. @throws SkerryError `no-space`, ...; it runs on, or is paused, as before */
export async function saveMemory(vm: Vm, live: LiveVm, dir: string, signal: AbortSignal | undefined): Promise<void> {
  const { machine } = live;
  assertNotFrozen(vm.name, live);
  const wasRunning = machine.state() === 'running';
  const takeBack = await letGoOfShares(vm, live, signal);
  if (wasRunning) await machine.pause();
  try {
    await removeMemory(dir);
    const version = versionOf(await machine.saveState(statePath(dir), { signal }));
    await recordMemory(dir, { ...(await recordOf(vm, live, dir, false)), version }, true);
  } catch (error) {
    await removeMemory(dir);
    if (wasRunning) await machine.resume();
    await takeBack();
    throw error;
  }
}

/** All but what its state says of itself. */
export async function recordOf(
  vm: Vm,
  live: LiveVm,
  dir: string,
  isFork: boolean,
): Promise<Omit<MemoryRecord, 'version'>> {
  const { start } = vm.status;
  const taps = await withoutSocket(live.machine.sockets.nics);
  if (start === undefined) throw new SkerryError('internal', `${vm.name} runs, and nothing says how it started`);
  return {
    savedAt: new Date().toISOString(),
    qemuVersion: (await live.machine.info()).version,
    kernel: start.kernel,
    machine: start.machine === 'q35' ? 'q35' : 'microvm',
    reclaimsMemory: start.reclaimsMemory ?? true,
    macs: deviceMacs(vm.status),
    ...(taps.length === 0 ? {} : { taps }),
    ...(vm.status.shares === undefined ? {} : { shares: vm.status.shares }),
    isFork,
    layers: await diskLayers(dir),
  };
}

/** What is on a bridge has no socket to plug into the switch. @returns places in the list */
async function withoutSocket(paths: readonly string[]): Promise<number[]> {
  const missing = await Promise.all(
    paths.map((path) =>
      access(path).then(
        () => false,
        () => true,
      ),
    ),
  );
  return [...paths.keys()].filter((index) => missing[index]);
}

type ResumePorts = Omit<StartPorts, 'templates' | 'secrets'>;

/**
 * Goes on from saved memory. Until the guest runs a failure leaves the memory for another attempt; from then on it is used up.
 * When it throws, no process is left.
 */
export async function resumeVm(
  { driver, networks, shares }: ResumePorts,
  input: StartInput,
  memory: MemoryRecord,
  liveOptions: LiveVmOptions,
  work: WorkOptions,
): Promise<Started> {
  const { vm, boot, host, dirs, waterfall } = input;
  const { signal, onProgress, keeperPath } = work;
  await using undo = new AsyncDisposableStack();
  const nics = await networks.nicsOf(vm);
  assertPluggable(vm, nics, memory);
  const resolved = await shares.resolve(memory.shares);
  const cold = vmLaunch(asItWas(vm), boot, nics, host, dirs, await diskLayers(dirs.dir), resolved);
  const launch = launchOf(memory, cold);
  const goOnFrom = (origin: LaunchOrigin): Promise<Machine> =>
    driver.start({ ...launch, origin }, { signal, onPhase: (name) => waterfall.mark(name) });
  const own = { kind: 'saved' as const, statePath: statePath(dirs.dir), layout: layoutOf(memory) };
  waterfall.mark('prepare');
  onProgress?.('taking its memory up again');
  const shared =
    keeperPath === undefined
      ? undefined
      : await goOnFrom({ kind: 'clone', keeperPath, paused: true }).catch((error: unknown) => {
          if (SkerryError.from(error).code === 'cancelled') throw error;
          waterfall.mark('failed-clone');
        });
  const machine =
    shared ??
    (await goOnFrom(own).catch((error: unknown) => {
      throw unusable(vm, memory, error);
    }));
  const live = new LiveVm(machine, host.uid, liveOptions);
  undo.defer(() => endMachine(machine, live));
  await markUsed(dirs.dir);
  undo.move();
  return finishResume({ networks }, input, memory, live, work);
}

/** The machine of its memory, whatever it shall be when it boots again. */
export function asItWas(vm: Vm): Vm {
  return { ...vm, spec: { ...vm.spec, ...shapeOf(vm) } };
}

/** @throws SkerryError `unsupported` */
function assertPluggable(vm: Vm, nics: readonly VmNic[], { taps = [] }: MemoryRecord): void {
  const nic = nics.find(({ index, tap }) => tap === undefined && taps.includes(index));
  if (nic === undefined) return;
  throw new SkerryError(
    'unsupported',
    `eth${nic.index} of ${vm.name} was on a bridge when its memory was saved, and is on the switch now`,
    {
      remedy: `Have it on a network of the kernel datapath, or give the memory up and boot: \`skerry start ${vm.name} --discard-memory\`.`,
      details: { nic: `eth${nic.index}` },
    },
  );
}

/** A NIC that is nowhere any more. */
const NOWHERE: LaunchTap = { name: '', vhost: false };

/** Pure: the start of a machine that goes on from a memory. */
export function launchOf(memory: MemoryRecord, cold: VmLaunch): VmLaunch {
  const tapOf = (index: number): LaunchTap | undefined =>
    cold.nics.find(({ socketName }) => socketName === `nic${index}`)?.tap ??
    (memory.taps?.includes(index) === true ? NOWHERE : undefined);
  return {
    ...cold,
    kernel: { ...cold.kernel, which: memory.kernel, machine: memory.machine },
    // The devices have the addresses that are in the memory, whatever is asked for here: the guest changes them.
    nics: memory.macs.map((mac, index) => ({ mac, socketName: `nic${index}`, tap: tapOf(index) })),
    reclaimsMemory: memory.reclaimsMemory,
  };
}

/**
 * The rest of it, from where the guest may have run: for a daemon that finds a machine whose resume was cut off, too.
 * Until then a fork's processes stand still, and it may be called like its original.
 */
export async function finishResume(
  { networks }: Pick<ResumePorts, 'networks'>,
  { vm, boot, host, dirs, waterfall, secrets }: StartInput,
  memory: MemoryRecord,
  live: LiveVm,
  { signal, beforeThaw }: WorkOptions,
): Promise<Started> {
  await using undo = new AsyncDisposableStack();
  undo.defer(() => networks.detach(vm.id));
  undo.defer(() => endMachine(live.machine, live));
  const nics = await networks.nicsOf(vm);
  await setAllCables(live.machine, vm, networks);
  await live.machine.resume();
  const agent = await live.connectAgent(signal);
  waterfall.mark('resume');
  await agent.identify(
    identityOf(vm, nics, boot.image.env, secrets.env, {
      lacksRoot: false,
      hasForeignKeys: memory.isFork,
      hasForeignBootId: memory.isFork,
      currentMacs: memory.macs,
    }),
  );
  const left = leftBehind(memory.macs, nics);
  if (left.length > 0) await agent.changeNics(left);
  // In its memory are those of then.
  await giveSecrets(agent, secrets);
  waterfall.mark('identify');
  // Only now: as somebody else it must not be heard.
  await networks.attach(vm, dirs.runtimeDir);
  waterfall.mark('network');
  live.shares = await mountAgain(agent, memory.shares);
  await beforeThaw?.();
  if (agent.hello.frozen) await agent.thaw();
  waterfall.mark('thaw');
  undo.move();
  const report = waterfall.report({
    how: memory.isFork ? 'fork' : 'resume',
    kernel: memory.kernel,
    accelerator: host.accelerator,
    machine: memory.machine,
    reclaimsMemory: memory.reclaimsMemory,
    nicDevices: memory.macs.length,
  });
  return { live, report };
}

/** NICs that are in its memory, and are not its own: a copy of a node has none that lead out of it. */
function leftBehind(macs: readonly string[], nics: readonly VmNic[]): NicChange[] {
  return macs.flatMap((currentMac, index) => {
    const mac = spareMac(index);
    if (mac === currentMac || nics.some((nic) => nic.index === index)) return [];
    return [{ mac, currentMac, addresses: [], state: 'spare' as const }];
  });
}

function unusable(vm: Vm, memory: MemoryRecord, error: unknown): SkerryError {
  const problem = SkerryError.from(error);
  if (problem.code !== 'failed' && problem.code !== 'unavailable') return problem;
  return new SkerryError('failed', `${vm.name} can not go on from its saved memory: ${problem.message}`, {
    remedy: `It was saved by QEMU ${memory.qemuVersion} and is kept. Try again, or give it up and boot: \`skerry start ${vm.name} --discard-memory\`.`,
    details: { ...problem.details },
    cause: problem,
  });
}
