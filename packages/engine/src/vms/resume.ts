import { SkerryError, type Vm } from '@skerry/api';
import { diskLayers } from './disks.ts';
import { identityOf, vmLaunch } from './launch.ts';
import { LiveVm, type LiveVmOptions } from './live.ts';
import { markUsed, recordMemory, removeMemory, statePath, type MemoryRecord } from './memory.ts';
import type { WorkOptions } from './ports.ts';
import { endMachine, type Started, type StartInput, type StartPorts } from './start.ts';

/** Memory to disk, and back. */

/** Leaves the VM paused, its memory on disk. @throws SkerryError `no-space`, ...; it runs on, or is paused, as before */
export async function saveMemory(vm: Vm, live: LiveVm, dir: string, signal: AbortSignal | undefined): Promise<void> {
  const { machine } = live;
  const wasRunning = machine.state() === 'running';
  if (wasRunning) await machine.pause();
  try {
    await removeMemory(dir);
    await machine.saveState(statePath(dir), { signal });
    await recordMemory(dir, await recordOf(vm, live, dir, false), true);
  } catch (error) {
    await removeMemory(dir);
    if (wasRunning) await machine.resume();
    throw error;
  }
}

export async function recordOf(vm: Vm, live: LiveVm, dir: string, isFork: boolean): Promise<MemoryRecord> {
  const { start } = vm.status;
  if (start === undefined) throw new SkerryError('internal', `${vm.name} runs, and nothing says how it started`);
  return {
    version: 1,
    savedAt: new Date().toISOString(),
    qemuVersion: (await live.machine.info()).version,
    kernel: start.kernel,
    machine: start.machine === 'q35' ? 'q35' : 'microvm',
    reclaimsMemory: start.reclaimsMemory ?? true,
    macs: vm.status.nics.map(({ mac }) => mac),
    isFork,
    layers: await diskLayers(dir),
  };
}

type ResumePorts = Omit<StartPorts, 'templates'>;

/**
 * Goes on from saved memory. Until the guest runs a failure leaves the memory for another attempt; from then on it is used up.
 * When it throws, no process is left.
 */
export async function resumeVm(
  { driver, networks }: ResumePorts,
  input: StartInput,
  memory: MemoryRecord,
  liveOptions: LiveVmOptions,
  work: WorkOptions,
): Promise<Started> {
  const { vm, boot, host, dirs, waterfall } = input;
  const { signal, onProgress } = work;
  await using undo = new AsyncDisposableStack();
  const nics = await networks.nicsOf(vm);
  const cold = vmLaunch(vm, boot, nics, host, dirs, await diskLayers(dirs.dir));
  const launch = {
    ...cold,
    kernel: { ...cold.kernel, which: memory.kernel, machine: memory.machine },
    // The device has the address that is in the memory, whatever is asked for here: the guest changes it.
    nics: cold.nics.map((nic, index) => ({ ...nic, mac: memory.macs[index] ?? nic.mac })),
    reclaimsMemory: memory.reclaimsMemory,
    origin: { kind: 'saved' as const, statePath: statePath(dirs.dir) },
  };
  waterfall.mark('prepare');
  onProgress?.('taking its memory up again');
  const machine = await driver.start(launch, { signal, onPhase: (name) => waterfall.mark(name) }).catch((error) => {
    throw unusable(vm, memory, error);
  });
  const live = new LiveVm(machine, host.uid, liveOptions);
  undo.defer(() => endMachine(machine, live));
  await markUsed(dirs.dir);
  undo.move();
  return finishResume({ networks }, input, memory, live, work);
}

/**
 * The rest of it, from where the guest may have run: for a daemon that finds a machine whose resume was cut off, too.
 * Until then a fork's processes stand still, and it may be called like its original.
 */
export async function finishResume(
  { networks }: Pick<ResumePorts, 'networks'>,
  { vm, boot, host, dirs, waterfall }: StartInput,
  memory: MemoryRecord,
  live: LiveVm,
  { signal, beforeThaw }: WorkOptions,
): Promise<Started> {
  await using undo = new AsyncDisposableStack();
  undo.defer(() => networks.detach(vm.id));
  undo.defer(() => endMachine(live.machine, live));
  const nics = await networks.nicsOf(vm);
  await live.machine.resume();
  const agent = await live.connectAgent(signal);
  waterfall.mark('resume');
  await agent.identify(
    identityOf(vm, nics, boot.image.env, {
      lacksRoot: false,
      hasForeignKeys: memory.isFork,
      hasForeignBootId: memory.isFork,
      currentMacs: memory.macs,
    }),
  );
  waterfall.mark('identify');
  // Only now: as somebody else it must not be heard.
  await networks.attach(vm, dirs.runtimeDir);
  waterfall.mark('network');
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
  });
  return { live, report };
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
