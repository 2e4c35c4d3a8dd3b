import { ImageRecipe } from '@skerry/api';
import { expect, test } from 'vitest';
import { lonePackages, withSsh } from '../../src/images/ssh-plan.ts';

const recipe = (more: object) => ImageRecipe.parse({ name: 'web', ...more });

test('a recipe that does not ask for ssh is left as it is', () => {
  const plain = recipe({ packages: ['nginx'] });
  expect(withSsh(plain)).toBe(plain);
  expect(lonePackages(plain, [{ name: 'nginx' }])).toEqual([]);
});

test('one that does gets the server and what rsync needs, but keeps the versions that it names', () => {
  const { packages } = withSsh(recipe({ ssh: true, packages: ['nginx', 'dropbear-bin=2022.83-1'] }));
  expect(packages).toEqual(['nginx', 'dropbear-bin=2022.83-1', 'rsync']);
});

test('the sftp server comes alone, unless it comes with the others', () => {
  const asked = recipe({ ssh: true });
  expect(lonePackages(asked, [{ name: 'dropbear-bin' }])).toEqual(['openssh-sftp-server']);
  expect(lonePackages(asked, [{ name: 'openssh-sftp-server' }])).toEqual([]);
});
