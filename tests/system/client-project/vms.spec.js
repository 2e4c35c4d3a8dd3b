import { skerryTest } from 'skerry/vitest';
import { expect } from 'vitest';

const test = skerryTest({ memory: '64Mi', labels: { suite: 'client-project' } });

test('no VM for a test that asks for none', () => {});

test('a VM of its own', async ({ vm }) => {
  await vm.files.write('/root/mine', 'yes');
  expect((await vm.exec('hostname')).stdout.trim()).toBe(vm.name);
  expect((await vm.info()).labels).toMatchObject({ suite: 'client-project', 'made-by': 'vitest' });
});

test('a fresh one, and a second one that the test itself deletes', async ({ vm, createVM }) => {
  expect((await vm.exec('ls /root/mine')).exitCode).not.toBe(0);
  const other = await createVM({ name: 'second', memory: '128Mi' });
  expect((await other.info()).spec.memoryMib).toBe(128);
  await other.delete({ force: true });
});

test('one that is stopped is deleted too', async ({ vm }) => {
  await vm.kill();
  expect((await vm.info()).status.state).toBe('stopped');
});

test('fails', async ({ vm }) => {
  expect(vm.name).toBe('as planned');
});
