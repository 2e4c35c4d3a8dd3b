import { expect, test } from 'vitest';
import { assertMemory, memoryLack } from '../../src/vms/memory-need-plan.ts';

const need = (which: 'micro' | 'distro', imageMib = 48) => ({
  image: { minMemoryMib: imageMib },
  kernel: { which },
  kernelMinMemoryMib: which === 'distro' ? 128 : 48,
});
const wish = (memoryMib: number, kernel: 'auto' | 'micro' | 'distro' = 'auto') => ({
  image: 'tools',
  kernel,
  memoryMib,
});

test('enough is enough', () => {
  expect(memoryLack(wish(48), need('micro'))).toBeUndefined();
  expect(memoryLack(wish(128, 'distro'), need('distro'))).toBeUndefined();
});

test.each([
  ['the image', wish(40), need('micro'), /image 'tools' needs 48 MiB/, /--memory 48Mi\.$/],
  ['the image, the more', wish(64), need('distro', 96), /image 'tools' needs 128 MiB/, /--memory 128Mi\.$/],
  [
    'a kernel that was asked for',
    wish(64, 'distro'),
    need('distro'),
    /kernel needs 128 MiB/,
    /128Mi, or take .*--kernel micro\.$/,
  ],
  [
    'the one that is there for now',
    wish(64),
    need('distro'),
    /kernel needs 128 MiB/,
    /128Mi, or wait .*--kernel micro\.$/,
  ],
])('%s needs more', (_, asked, needed, message, remedy) => {
  expect(() => assertMemory(asked, needed)).toThrow(
    expect.objectContaining({
      code: 'invalid',
      message: expect.stringMatching(message) as string,
      remedy: expect.stringMatching(remedy) as string,
    }),
  );
});
