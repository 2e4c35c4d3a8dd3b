// Run by prerm before a removal: shuts down the VMs of the system's daemon, and lets go of those that wait in pools.
import { connect } from '../packages/sdk/dist/index.js';

const socketPath = '/run/skerry/skerryd.sock';
const skerry = connect({ socketPath });
const vms = await skerry.vms().catch(() => []); // No daemon: nothing that it could stop.
const infos = await Promise.all(vms.map((vm) => vm.info()));
const running = infos.flatMap(({ status }, index) =>
  status.process === undefined ? [] : [[vms[index], status.state]],
);
if (running.length > 0) console.log(`Shutting down VMs: ${running.map(([{ name }]) => name).join(', ')}`);
await Promise.all(
  running.map(async ([vm, state]) => {
    // A paused guest can't shut itself down.
    if (state === 'paused') await vm.resume().catch(() => {});
    await vm.stop().catch((error) => console.error(`${vm.name}: ${error.message}`));
  }),
);
for (const { image } of await skerry.pools.list().catch(() => [])) await skerry.pools.set(image, 0).catch(() => {});
skerry.close();
