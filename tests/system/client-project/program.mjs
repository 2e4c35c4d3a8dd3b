import { createVM, Skerry } from 'skerry';

// Run by the oldest Node that the client is for.

const skerry = await Skerry.start();
const vm = await createVM({ name: 'from-npm', memory: '64Mi', ephemeral: true });
try {
  const { stdout } = await vm.exec('hostname');
  const cat = vm.exec('cat');
  cat.stdin.end('through stdin');
  const streamed = [];
  for await (const { data } of cat) streamed.push(data);
  await vm.files.write('/root/file', 'through files');
  const file = await vm.files.read('/root/file');
  const missing = await skerry.vm('nobody').catch(({ code, remedy }) => ({ code, remedy }));
  const late = await vm.exec('sleep 100', { timeoutMs: 50 }).then(undefined, ({ code }) => code);
  console.log(
    JSON.stringify({
      node: process.versions.node,
      hostname: stdout.trim(),
      streamed: Buffer.concat(streamed).toString(),
      file: file.toString(),
      missing,
      late,
      names: (await skerry.vms()).map(({ name }) => name),
    }),
  );
} finally {
  await vm[Symbol.asyncDispose]();
}
console.log(JSON.stringify((await skerry.vms()).length));
