import { spawn } from 'node:child_process';
import { createHash, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import websocket from '@fastify/websocket';
import { type ExecRequest, SkerryError, type Task, type Vm, VmCreate } from '@skerry/api';
import fastify from 'fastify';
import { cloneRoutes, type CloneEntries } from './contract-clones.ts';

export { nodeOf } from './contract-clones.ts';

/**
 * A small real server that speaks the contract's HTTP and WebSockets on a unix socket: its VMs are entries in a map, and
 * what is executed in one is a process of this machine. The daemon itself is tested in tests/system.
 */
export interface TestDaemon extends AsyncDisposable, CloneEntries {
  readonly socketPath: string;
  readonly directory: string;
  readonly vms: Map<string, Vm>;
  /** Every task, in order; `vm.start` of a VM named `slow` runs until it is cancelled. */
  readonly tasks: Task[];
  readonly execs: ExecRequest[];
  /** Files are kept here: `/etc/x` is `files/%2Fetc%2Fx`. */
  readonly filesDir: string;
}

const now = (): string => new Date().toISOString();

export function vmOf(name: string, spec: Partial<Vm['spec']> = {}, status: Partial<Vm['status']> = {}): Vm {
  return {
    kind: 'vm',
    id: randomUUID(),
    name,
    project: 'default',
    labels: {},
    createdAt: now(),
    updatedAt: now(),
    revision: 1,
    spec: {
      type: 'microvm',
      image: 'micro',
      cpus: 1,
      memoryMib: 128,
      kernel: 'auto',
      env: {},
      files: [],
      nics: [{ network: 'default' }],
      forwards: [],
      cold: false,
      ephemeral: false,
      power: 'stopped',
      restarts: 0,
      ...spec,
    },
    status: { state: 'stopped', health: 'none', nics: [], warnings: [], restarts: 0, ...status },
  };
}

const AFTER_VERB: Readonly<Record<string, Vm['spec']['power']>> = {
  pause: 'paused',
  resume: 'running',
  suspend: 'suspended',
};

export async function startTestDaemon(): Promise<TestDaemon> {
  const directory = await mkdtemp(join(tmpdir(), 'skerry-sdk-'));
  const socketPath = join(directory, 'skerryd.sock');
  const filesDir = await mkdtemp(join(directory, 'files-'));
  const vms = new Map<string, Vm>();
  const tasks: Task[] = [];
  const execs: ExecRequest[] = [];
  const app = fastify({ forceCloseConnections: true });
  await app.register(websocket, { options: { perMessageDeflate: false } });
  app.setErrorHandler((error, _request, reply) => {
    const known = SkerryError.from(error);
    void reply
      .code(known.httpStatus)
      .type('application/problem+json')
      .send({ ...known.toBody(), status: known.httpStatus });
  });
  app.addContentTypeParser('application/octet-stream', (_request, payload, done) => done(null, payload));

  const find = (ref: string): Vm => {
    const vm = vms.get(ref) ?? [...vms.values()].find(({ name }) => name === ref);
    if (vm !== undefined) return vm;
    throw new SkerryError('not-found', `There is no VM '${ref}'`, { remedy: 'See `skerry list`.' });
  };
  const accept = (kind: string, work: (task: Task) => Promise<unknown>): Task => {
    const task: Task = {
      id: randomUUID(),
      kind,
      description: kind,
      state: 'running',
      cancelRequested: false,
      createdAt: now(),
    };
    tasks.push(task);
    void work(task).then(
      (result) => Object.assign(task, { state: 'succeeded', result: result ?? {} }),
      (error: unknown) => {
        const known = SkerryError.from(error);
        Object.assign(task, { state: known.code === 'cancelled' ? 'cancelled' : 'failed', error: known.toBody() });
      },
    );
    return { ...task };
  };
  const untilCancelled = async (task: Task): Promise<void> => {
    while (!task.cancelRequested) await new Promise((resolve) => setTimeout(resolve, 5));
    throw new SkerryError('cancelled', 'Cancelled');
  };
  const start = async (task: Task, vm: Vm, discardMemory = true): Promise<Vm> => {
    const resumes = vm.status.state === 'suspended' && !discardMemory;
    task.progress = { message: resumes ? 'resuming' : 'booting', fraction: 0.5 };
    if (vm.name === 'slow') await untilCancelled(task);
    await new Promise((resolve) => setTimeout(resolve, 10));
    vm.status = { ...vm.status, state: 'running' };
    return vm;
  };

  const clones = cloneRoutes(app, { vms, find, accept });
  app.get('/v1/vms', () => [...vms.values()]);
  app.get<{ Params: { vm: string } }>('/v1/vms/:vm', ({ params }) => find(params.vm));
  app.post('/v1/vms', ({ body }, reply) => {
    const parsed = VmCreate.safeParse(body);
    if (!parsed.success) throw new SkerryError('invalid', parsed.error.message, { remedy: 'See --help.' });
    const { name, start: started, ephemeral, image, cpus, memoryMib, env, command, cold } = parsed.data;
    if ([...vms.values()].some((vm) => vm.name === name)) {
      throw new SkerryError('conflict', `There is a VM '${name}' already`, { remedy: 'Take another name.' });
    }
    const vm = vmOf(name, {
      ephemeral,
      image,
      cpus,
      memoryMib: memoryMib ?? 128,
      env,
      cold,
      ...(command && { command }),
    });
    void reply.code(202);
    return accept('vm.create', async (task) => {
      vms.set(vm.id, vm);
      try {
        return started ? await start(task, vm) : vm;
      } catch (error) {
        vms.delete(vm.id);
        throw error;
      }
    });
  });
  type VerbRoute = { Params: { vm: string; verb: string }; Querystring: { discardMemory?: string } };
  app.post<VerbRoute>('/v1/vms/:vm/:verb', ({ params, body, query }, reply) => {
    const vm = find(params.vm);
    if (params.verb === 'wait') return vm;
    void reply.code(202);
    return accept(`vm.${params.verb}`, async (task) => {
      if (params.verb === 'start') return start(task, vm, query.discardMemory === 'true');
      if (params.verb === 'restart') return start(task, vm);
      if (vm.name === 'stuck') throw new SkerryError('timeout', 'It does not answer', { remedy: 'Kill it.' });
      task.progress = { message: JSON.stringify(body ?? null) };
      const state = AFTER_VERB[params.verb] ?? 'stopped';
      vm.spec = { ...vm.spec, power: state };
      vm.status = { ...vm.status, state };
      return vm;
    });
  });
  app.delete<{ Params: { vm: string } }>('/v1/vms/:vm', ({ params }, reply) => {
    const vm = find(params.vm);
    void reply.code(202);
    return accept('vm.delete', async () => void vms.delete(vm.id));
  });

  app.get('/v1/tasks', () => tasks);
  app.get<{ Params: { task: string } }>('/v1/tasks/:task/watch', async ({ params }, reply) => {
    const task = tasks.find(({ id }) => id === params.task);
    reply.hijack();
    reply.raw.writeHead(200, { 'content-type': 'application/x-ndjson' });
    for (let said = ''; ;) {
      const line = `${JSON.stringify(task)}\n`;
      // In two pieces, as a network might.
      if (line !== said) reply.raw.write(line.slice(0, 20));
      if (line !== said) reply.raw.write(line.slice(20));
      said = line;
      if (task === undefined || task.state !== 'running') break;
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    reply.raw.end();
  });
  app.post<{ Params: { task: string } }>('/v1/tasks/:task/cancel', ({ params }) => {
    const task = tasks.find(({ id }) => id === params.task);
    return Object.assign(task ?? {}, { cancelRequested: true });
  });

  const fileOf = (path: string): string => join(filesDir, encodeURIComponent(path));
  type FileRoute = { Params: { vm: string }; Querystring: { path: string } };
  app.put<FileRoute>('/v1/vms/:vm/file', async ({ params, query, body }) => {
    find(params.vm);
    const chunks: Buffer[] = [];
    for await (const chunk of body as Readable) chunks.push(chunk as Buffer);
    const content = Buffer.concat(chunks);
    await writeFile(fileOf(query.path), content);
    const lie = query.path === '/damaged' ? 'x' : '';
    return { sha256: createHash('sha256').update(content).update(lie).digest('hex'), bytes: content.length };
  });
  app.get<FileRoute>('/v1/vms/:vm/file', async ({ params, query }, reply) => {
    find(params.vm);
    const content = await readFile(fileOf(query.path)).catch(() => {
      throw new SkerryError('not-found', `There is no ${query.path}`, { remedy: 'See the directory.' });
    });
    reply.hijack();
    reply.raw.writeHead(200, { trailer: 'x-skerry-sha256', 'transfer-encoding': 'chunked' });
    reply.raw.write(query.path === '/damaged' ? 'other' : content);
    reply.raw.addTrailers({ 'x-skerry-sha256': createHash('sha256').update(content).digest('hex') });
    reply.raw.end();
  });
  app.get<FileRoute>('/v1/vms/:vm/stat', async ({ query }) => {
    const info = await stat(fileOf(query.path)).catch(() => undefined);
    if (info === undefined)
      throw new SkerryError('not-found', `There is no ${query.path}`, { remedy: 'See the directory.' });
    return { name: query.path, type: 'file', sizeBytes: info.size, mode: info.mode, mtimeMs: info.mtimeMs };
  });
  app.get<FileRoute>('/v1/vms/:vm/directory', async ({ query }) => {
    const names = (await readdir(filesDir)).map(decodeURIComponent).filter((path) => path.startsWith(query.path));
    return names.map((name) => ({
      name: name.slice(query.path.length),
      type: 'file',
      sizeBytes: 1,
      mode: 0o644,
      mtimeMs: 0,
    }));
  });

  app.get<{ Params: { vm: string } }>(
    '/v1/vms/:vm/exec',
    { websocket: true, preValidation: async ({ params }) => void find(params.vm) },
    (socket) => {
      socket.once('message', (text: Buffer) => {
        const request = JSON.parse(text.toString()) as ExecRequest;
        execs.push(request);
        const [command = '', ...args] = request.argv;
        const child = spawn(command, args, {
          env: { PATH: process.env['PATH'], ...request.env },
          stdio: 'pipe',
          detached: true,
        });
        // As the agent does: to the process and all it has started.
        const kill = (signal: string): void => {
          if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
          process.kill(-child.pid, signal);
        };
        if (!request.stdin) child.stdin.end();
        child.stdin.on('error', () => {});
        child.once('error', () => {
          const error = new SkerryError('not-found', `There is no command '${command}' in the VM`, {
            remedy: 'Name one.',
          });
          socket.send(JSON.stringify({ type: 'error', error: error.toBody() }));
          socket.close();
        });
        const send = (channel: number, stream: Readable) => async (): Promise<void> => {
          for await (const data of stream as AsyncIterable<Buffer>) {
            await new Promise((resolve) => socket.send(Buffer.concat([Buffer.from([channel]), data]), resolve));
          }
        };
        const sent = Promise.all([send(1, child.stdout)(), send(2, child.stderr)()]);
        void once(child, 'close').then(
          async ([exitCode, signal]) => {
            await sent;
            socket.send(JSON.stringify({ type: 'exit', exitCode, signal }));
            socket.close();
          },
          () => {},
        );
        socket.on('message', (data: Buffer, isBinary) => {
          if (!isBinary) {
            const control = JSON.parse(data.toString()) as { type: string; signal: string };
            if (control.type === 'signal') kill(`SIG${control.signal}`);
          } else if (data.length === 1) {
            child.stdin.end();
          } else {
            child.stdin.write(data.subarray(1));
          }
        });
        socket.once('close', () => kill('SIGKILL'));
      });
    },
  );
  app.get('/v1/vms/:vm/console', { websocket: true }, (socket) => {
    socket.send(Buffer.from('past output\r\n'));
    socket.on('message', (data: Buffer) => socket.send(data));
  });

  await app.listen({ path: socketPath });
  return {
    ...clones,
    socketPath,
    directory,
    filesDir,
    vms,
    tasks,
    execs,
    [Symbol.asyncDispose]: async () => {
      await app.close();
      await rm(directory, { recursive: true, force: true });
    },
  };
}
