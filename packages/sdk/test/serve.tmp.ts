const { startTestDaemon, vmOf } = await import('/work/main/packages/sdk/test/test-daemon.ts');
const d = await startTestDaemon();
for (const n of ['web-vm','shop/web','shop/cache']) { const r = vmOf(n, {power:'running'}, {state:'running', nics:[{network:'default',mac:'52:54:00:00:00:01',address:'10.213.0.5'}]}); d.vms.set(r.id, r); }
console.log(d.socketPath);
process.on('SIGTERM', async () => { await d[Symbol.asyncDispose](); process.exit(0); });
