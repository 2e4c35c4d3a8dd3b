import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startTestHost, type TestHost } from '@skerry/testkit/host';

/** Under emulation QEMU keeps the code that it has translated: a guest that starts program after program must not outgrow its bounds. */

const MEMORY_MIB = 64;
/** Guest, translated code (qemu/args.ts), and QEMU itself. */
const MOST_MIB = MEMORY_MIB + 128 + 64;
/** Each is at another address each time, and translated anew: without a bound some 2 MiB of each stay. */
const PROGRAMS = 120;

let host: TestHost;
beforeAll(async () => void (host = await startTestHost()));
afterAll(() => host[Symbol.asyncDispose]());

test('hundreds of programs leave a VM as it was', async () => {
  const { status } = await host.client.run('vm.create', {
    body: { name: 'busy', ssh: true, memoryMib: MEMORY_MIB, start: true },
  });
  if (status.start?.accelerator !== 'tcg') return;
  const loop = `i=0; while [ $i -lt ${PROGRAMS} ]; do rsync --version > /dev/null; i=$((i + 1)); done; echo $i`;
  expect(await host.client.exec('busy', loop)).toMatchObject({ stdout: `${PROGRAMS}\n`, exitCode: 0 });
  const text = await readFile(`/proc/${status.process?.pid}/status`, 'utf8');
  expect(Number(/RssAnon:\s+(\d+)/.exec(text)?.[1]) / 1024).toBeLessThan(MOST_MIB);
});
