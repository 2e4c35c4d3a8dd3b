import { randomUUID } from 'node:crypto';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { hostPaths, nativePath, probeHost, run } from '../../../src/hosts/index.ts';
import type { LaunchDisk, LaunchOrigin, Machine, StateLayout, VmLaunch } from '../../../src/hypervisors/index.ts';
import { killJailed } from '../../../src/hypervisors/jail/index.ts';
import { buildInitrd, findKernel, type ImagePaths } from '../../../src/images/index.ts';
import { connectAgent, type AgentClient } from '../../../src/vms/agent/index.ts';

/** Guests with the micro kernel and our agent, whose files can be written and read: real memory, real disks. */

const GUEST_DIR = fileURLToPath(new URL('../../../../../guest', import.meta.url));
const BUILD = fileURLToPath(new URL('../../../../../native/build.sh', import.meta.url));

/** Building a kernel takes minutes: tests use the one that is there, or say that there is none. */
export const micro = await findKernel(imagePaths(hostPaths(process.env, process.getuid?.() ?? 0).cacheDir), 'micro');
if (micro === undefined) console.warn('skipped: no micro kernel on this host; `skerry image build micro` makes one');

export interface Guests extends AsyncDisposable {
  readonly root: string;
  /** A launch with directories of its own, ended with the test. */
  vm(changes?: Partial<VmLaunch>): Promise<VmLaunch>;
  /** A new directory for a keeper's socket, as in the launch of a template. */
  template(
    changes?: Partial<VmLaunch>,
    statePath?: string,
    layout?: StateLayout,
  ): Promise<VmLaunch & { origin: LaunchOrigin & { kind: 'template' } }>;
  /** An empty ext4 file system as a qcow2 file that nobody writes to, and a writable layer on it. */
  disk(): Promise<LaunchDisk & { readonly backing: NonNullable<LaunchDisk['backing']> }>;
  /** A new empty qcow2 file as large as those of `disk`. */
  layer(): Promise<string>;
  /** Later than any test's own, so that a test may use it up. */
  defer(undo: () => Promise<unknown> | unknown): void;
}

export async function guests(parent = tmpdir()): Promise<Guests> {
  if (micro === undefined) throw new Error('no micro kernel');
  await run(['sh', BUILD]);
  const root = await mkdtemp(join(parent, 'skerry-guests-'));
  const undo = new AsyncDisposableStack();
  undo.defer(() => rm(root, { recursive: true, force: true }));
  const initrd = await buildInitrd(imagePaths(join(root, 'cache')), micro);
  const { cpu } = await probeHost({ cacheDir: hostPaths(process.env, process.getuid?.() ?? 0).cacheDir });
  let count = 0;
  const vm = async (changes: Partial<VmLaunch> = {}): Promise<VmLaunch> => {
    count += 1;
    const dir = join(root, `v${count}`);
    await mkdir(dir, { mode: 0o700 });
    undo.defer(async () => void (await killJailed(dir, { force: true, signal: AbortSignal.timeout(5000) })));
    return {
      id: randomUUID(),
      name: 'test',
      dir,
      runtimeDir: dir,
      cpus: 1,
      memoryMib: 128,
      kernel: {
        which: 'micro',
        path: micro.path,
        initrdPath: initrd.path,
        patched: micro.patched,
        machine: micro.machine,
      },
      disks: [],
      nics: [],
      reclaimsMemory: false,
      accelerator: 'tcg',
      ...(cpu.tscKhz === undefined ? {} : { tscKhz: cpu.tscKhz }),
      isolation: {},
      ...changes,
    };
  };
  const layer = async (): Promise<string> => {
    count += 1;
    const path = join(root, `layer${count}.qcow2`);
    await run(['qemu-img', 'create', '-q', '-f', 'qcow2', path, '64M']);
    return path;
  };
  return {
    root,
    vm,
    async template(changes, statePath, layout) {
      const launch = await vm(changes);
      const keeperPath = join(launch.dir, 'keep');
      // Its child has ended by then: the keeper itself is what there is to end.
      undo.defer(async () => void (await killJailed(launch.dir, { signal: AbortSignal.timeout(5000) })));
      return { ...launch, origin: { kind: 'template', keeperPath, statePath, layout } };
    },
    async disk() {
      count += 1;
      const tree = join(root, `tree${count}`);
      for (const name of ['dev', 'proc', 'sys', 'run', 'tmp', 'root', 'etc'])
        await mkdir(join(tree, name), { recursive: true });
      const raw = join(root, `raw${count}`);
      await run(['mkfs.ext4', '-q', '-F', '-O', '^has_journal', '-d', tree, raw, '64M']);
      const base = join(root, `base${count}.qcow2`);
      await run(['qemu-img', 'convert', '-f', 'raw', '-O', 'qcow2', raw, base]);
      return { path: await layer(), format: 'qcow2', readonly: false, backing: { path: base, format: 'qcow2' } };
    },
    layer,
    defer: (work) => undo.defer(async () => void (await work())),
    [Symbol.asyncDispose]: () => undo.disposeAsync(),
  };
}

export function agentOf(machine: Machine): Promise<AgentClient> {
  return connectAgent(machine.sockets.agent, { timeoutMs: 30_000 });
}

export async function write(agent: AgentClient, path: string, text: string): Promise<void> {
  await agent.put(path, Readable.from([Buffer.from(text)]));
}

export async function read(agent: AgentClient, path: string): Promise<string> {
  const { body } = agent.get(path);
  return (await buffer(body)).toString();
}

function imagePaths(cacheDir: string): ImagePaths {
  return { cacheDir, imagesDir: join(cacheDir, 'images'), guestDir: GUEST_DIR, agentBinary: nativePath('agent') };
}
