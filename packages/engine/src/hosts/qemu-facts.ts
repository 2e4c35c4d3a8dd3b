import type { HostQemu } from '@skerry/api';
import { run } from './run.ts';
import { versionOf } from './tools.ts';

const MACHINES = ['microvm', 'pc', 'q35'];

/** What this QEMU was built with, from its own help texts. Undefined if it does not run. */
export async function probeQemu(path: string): Promise<HostQemu | undefined> {
  const ask = async (...args: string[]): Promise<string> =>
    (await run([path, ...args], { okExitCodes: 'any', timeoutMs: 10_000 }).catch(() => ({ stdout: '' }))).stdout;
  const [version, machines, netdevs, sandbox] = await Promise.all([
    ask('--version'),
    ask('-M', 'help'),
    ask('-M', 'none', '-netdev', 'help'),
    sandboxWorks(path),
  ]);
  const number = versionOf(version);
  if (number === undefined) return undefined;
  const listed = new Set(machines.split('\n').map((line) => line.split(' ')[0] ?? ''));
  return {
    version: number,
    path,
    machines: MACHINES.filter((machine) => listed.has(machine)),
    netdevs: netdevs.split('\n').filter((line) => /^[a-z][a-z0-9-]*$/.test(line)),
    sandbox,
  };
}

/** A QEMU that reads its QMP commands from a closed input ends at once. */
async function sandboxWorks(path: string): Promise<boolean> {
  const options = 'on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny';
  const input = '{"execute":"qmp_capabilities"}\n{"execute":"quit"}\n';
  return await run(
    [path, '-M', 'none', '-nodefaults', '-no-user-config', '-display', 'none', '-sandbox', options, '-qmp', 'stdio'],
    { input, timeoutMs: 10_000 },
  ).then(
    () => true,
    () => false,
  );
}
