import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { Control } from './control.ts';
import { SwitchError } from './error.ts';
import { Switch } from './switch.ts';

/**
 * The switch process: `main.ts --control PATH [--pid-file PATH]`. It starts empty and does what `sync` says; it outlives
 * the daemon that started it. Exit codes: 0 asked to end, 2 usage, 75 (EX_TEMPFAIL) another switch has the path.
 */

function log(line: string): void {
  process.stderr.write(`${new Date().toISOString()} ${line}\n`);
}

async function writePidFile(path: string): Promise<void> {
  // A pid alone may be another process's by now: its start time (field 22 of proc_pid_stat(5)) makes it unique.
  const fields = await readFile('/proc/self/stat', 'utf8');
  const startTime = fields.slice(fields.lastIndexOf(')') + 2).split(' ')[19];
  await writeFile(`${path}.tmp`, JSON.stringify({ pid: process.pid, startTime }), { mode: 0o600 });
  await rename(`${path}.tmp`, path);
}

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { control: { type: 'string' }, 'pid-file': { type: 'string' } } });
  const { control: controlPath, 'pid-file': pidFile } = values;
  if (controlPath === undefined) throw new SwitchError('invalid', 'usage: main.ts --control PATH [--pid-file PATH]');
  process.umask(0o077); // the control socket is for its owner alone
  process.on('SIGHUP', () => {});
  const target = new Switch({ log });
  let ending = false;
  const end = async (why: string): Promise<void> => {
    if (ending) return;
    ending = true;
    log(`switch: ends: ${why}`);
    const closed = target.close();
    if (pidFile !== undefined) await removeOwnPidFile(pidFile);
    await control.close();
    await closed;
    process.exit(0);
  };
  const control = new Control(controlPath, target, (why) => void end(why));
  process.on('SIGTERM', () => void end('SIGTERM'));
  process.on('SIGINT', () => void end('SIGINT'));
  await control.listen();
  if (pidFile !== undefined) await writePidFile(pidFile);
  await control.publish();
  log(`switch: pid ${process.pid} listens at ${controlPath}`);
}

/** Not that of another switch that took the place. */
async function removeOwnPidFile(path: string): Promise<void> {
  const text = await readFile(path, 'utf8').catch(() => '');
  if (text.startsWith(`{"pid":${process.pid},`)) await rm(path, { force: true });
}

try {
  await main();
} catch (error) {
  const usage = error instanceof SwitchError ? error.code === 'invalid' : error instanceof TypeError;
  log(`switch: ${error instanceof Error ? error.message : String(error)}`);
  process.exit(error instanceof SwitchError && error.code === 'in-use' ? 75 : usage ? 2 : 1);
}
