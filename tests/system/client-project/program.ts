import { createVM, type CreateVMOptions, type ExecResult, loadNodeFile, Skerry, SkerryError, type VM } from 'skerry';

// Compiled only, by a project that has set nothing up but `strict`: all types have to be there.

const options: CreateVMOptions = { name: 'typed', memory: '64Mi', labels: { tier: 'front' }, ephemeral: true };
await using vm = await createVM(options);
const { stdout, exitCode }: ExecResult = await vm.exec(['uname', '-a'], { timeoutMs: 5000 });
for await (const { stream, data } of vm.exec('dmesg')) process[stream].write(data);
const state: 'running' | string = (await vm.info()).status.state;
const bytes: Buffer = await vm.files.read('/etc/hostname');
const [copy]: VM[] = await vm.fork('copy', { count: 1 });

using skerry = await Skerry.start({ signal: AbortSignal.timeout(1000) });
const total: number = (await skerry.call('daemon.info')).vms.total;
for await (const event of skerry.stream('event.follow', { query: { after: 3 } })) console.log(event.type);
const images: string[] = (await skerry.images.list()).map(({ name }) => name);
await skerry.run('node.up', {
  body: await loadNodeFile('shop.yaml'),
  onProgress: ({ message }) => console.log(message),
});

await using slow = await vm.nic('eth0').impair({ delayMs: 20, dir: 'a2b', forMs: 1000 });
const seed: number | undefined = (await slow.info()).status.seed;
// @ts-expect-error a fault has an end
await vm.fault.freeze({});

// @ts-expect-error a parameter that the operation does not have: the contract's types have arrived
await skerry.call('vm.get', { params: { machine: 'web' } });
// @ts-expect-error a number, not a text
const wrong: string = (await skerry.call('daemon.info')).vms.total;

export { bytes, copy, exitCode, images, seed, SkerryError, state, stdout, total, wrong };
