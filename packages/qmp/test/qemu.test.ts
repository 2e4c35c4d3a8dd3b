import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { QmpClient, QmpError, SCHEMA_VERSION, type QmpCommandName } from '@skerry/qmp';
import { installedSchema, schemaSource, type InstalledSchema } from '../scripts/generate.ts';

/** What the product relies on. A command that a QEMU does not have fails here, not at a user's. */
const NEEDED: readonly QmpCommandName[] = [
  'query-status',
  'query-version',
  'query-cpus-fast',
  'query-balloon',
  'query-migrate',
  'qom-set',
  'stop',
  'cont',
  'quit',
  'system_reset',
  'set_link',
  'balloon',
  'blockdev-add',
  'device_add',
  'device_del',
  'migrate',
  'migrate-incoming',
  'migrate-set-capabilities',
  'getfd',
  'add-fd',
];

describe('a real QEMU', () => {
  let dir: string;
  let path: string;
  let qemu: ReturnType<typeof spawn>;

  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'skerry-qmp-'));
    path = join(dir, 'qmp');
    const argv = ['-M', 'none', '-nodefaults', '-display', 'none', '-qmp', `unix:${path},server=on,wait=off`];
    qemu = spawn('qemu-system-x86_64', argv, { stdio: ['ignore', 'ignore', 'inherit'] });
    // The socket is there a moment before QEMU listens on it.
    const answers = (): Promise<boolean> =>
      QmpClient.connect(path).then(
        (client) => (client.close(), true),
        () => false,
      );
    for (let tries = 0; !(await answers()) && tries < 200; tries += 1) await new Promise((go) => setTimeout(go, 20));
  });

  afterAll(async () => {
    if (qemu.exitCode === null && qemu.signalCode === null) {
      qemu.kill('SIGKILL');
      await once(qemu, 'exit');
    }
    await rm(dir, { recursive: true });
  });

  it('answers commands, one after the other and all at once, on connection after connection', async () => {
    for (let round = 0; round < 2; round += 1) {
      await using client = await QmpClient.connect(path);
      expect(client.version.major).toBeGreaterThanOrEqual(7);
      // Its monitor answers a moment before its machine runs.
      await expect.poll(() => client.execute('query-status')).toMatchObject({ running: true, status: 'running' });
      const versions = await Promise.all(Array.from({ length: 100 }, () => client.execute('query-version')));
      expect(versions.every(({ qemu: { major } }) => major === client.version.major)).toBe(true);
    }
  });

  it('refuses with a QmpError and stays usable', async () => {
    await using client = await QmpClient.connect(path);
    await expect(client.execute('device_del', { id: 'nothing' })).rejects.toThrow(QmpError);
    await expect(client.execute('device_del', { id: 'nothing' })).rejects.toMatchObject({ class: 'DeviceNotFound' });
    expect(await client.execute('query-status')).toMatchObject({ running: true });
  });

  it('tells of its stops and of its end by events', async () => {
    const client = await QmpClient.connect(path);
    const events = client.events();
    await client.execute('stop');
    await client.execute('cont');
    await client.execute('quit');
    const seen: unknown[] = [];
    for await (const event of events) seen.push(event.event === 'SHUTDOWN' ? event.data : event.event);
    expect(seen).toEqual(['STOP', 'RESUME', { guest: false, reason: 'host-qmp-quit' }]);
  });
});

describe('the generated schema', () => {
  let installed: InstalledSchema;

  beforeAll(async () => {
    installed = await installedSchema();
  });

  it('has the commands that we use in the QEMU that is installed', () => {
    const commands = installed.entities.filter((entity) => entity['meta-type'] === 'command').map(({ name }) => name);
    expect(commands).toEqual(expect.arrayContaining([...NEEDED]));
  });

  it('is what the generator makes of the QEMU it names', async (context) => {
    const { major, minor } = installed.version;
    if (`${major}.${minor}` !== SCHEMA_VERSION) context.skip(`QEMU ${SCHEMA_VERSION} is not the installed one`);
    const stored = await readFile(new URL('../src/schema.ts', import.meta.url), 'utf8');
    expect(schemaSource(installed) === stored, 'run packages/qmp/scripts/generate.ts').toBe(true);
  });
});
