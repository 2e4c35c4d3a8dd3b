import { readFile } from 'node:fs/promises';
import { createVM, SkerryError } from '@skerry/sdk';

/**
 * judge.ts PROGRAM: runs a shell script that nobody has read, in a VM made for it and deleted after it. Its output is at
 * most a MiB, its time 3 s, its memory and CPU are the VM's. (In a project of your own: from 'skerry'.)
 */

const TIME_LIMIT_MS = 3_000;
const MAX_OUTPUT_BYTES = 1 << 20;

const [, , path] = process.argv;
if (path === undefined) throw new Error('judge.ts PROGRAM');
const program = await readFile(path);
await using vm = await createVM({
  name: `run-${crypto.randomUUID().slice(0, 8)}`,
  memory: '64Mi',
  network: 'sandbox-sealed',
  labels: { 'made-by': 'judge' },
  ephemeral: true,
});
try {
  const limits = { timeoutMs: TIME_LIMIT_MS, maxOutputBytes: MAX_OUTPUT_BYTES };
  const { exitCode, signal, stdout } = await vm.exec('sh -s', { ...limits, stdin: program });
  console.log(`verdict: ${signal === null ? `exit code ${exitCode}` : `ended by ${signal}`}\n${stdout.trimEnd()}`);
} catch (error) {
  console.log(`verdict: ${SkerryError.from(error).message}`);
}
