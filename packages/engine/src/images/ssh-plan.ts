import type { ImageRecipe } from '@skerry/api';

/** What a recipe with `ssh: true` gets. */

/** The package that has the server: an image that has it can be reached by ssh. */
export const SSH_SERVER_PACKAGE = 'dropbear-bin';

/** rsync is run at both ends. */
const PACKAGES = [SSH_SERVER_PACKAGE, 'rsync'];

/**
 * What scp speaks since OpenSSH 9.0. It comes without what it depends on: the client, which it does not call, and which would
 * have each new VM make keys for the larger server (native/agent/keys.c), almost a second under emulation.
 */
const SFTP_SERVER = 'openssh-sftp-server';

export function withSsh(recipe: ImageRecipe): ImageRecipe {
  if (recipe.ssh !== true) return recipe;
  const named = new Set(recipe.packages.map((request) => request.split('=')[0]));
  return { ...recipe, packages: [...recipe.packages, ...PACKAGES.filter((name) => !named.has(name))] };
}

/** @param resolved what the recipe's packages come with */
export function lonePackages(recipe: ImageRecipe, resolved: ReadonlyArray<{ readonly name: string }>): string[] {
  return recipe.ssh === true && !resolved.some(({ name }) => name === SFTP_SERVER) ? [SFTP_SERVER] : [];
}
