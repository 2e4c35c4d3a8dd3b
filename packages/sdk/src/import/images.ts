import { type Draft, labelOf } from './draft.ts';
import type { Entry } from './entry.ts';

/** Pure: what becomes of a container's image. */

/** They have what the micro image has, as far as its commands go. */
const LIKE_MICRO = new Set(['busybox', 'alpine']);

/** Where the Debian package is not called as the image. */
const PACKAGES: ReadonlyMap<string, string> = new Map([
  ['frr', 'frr'],
  ['httpd', 'apache2'],
  ['mariadb', 'mariadb-server'],
  ['mysql', 'mariadb-server'],
  ['node', 'nodejs'],
  ['eclipse-mosquitto', 'mosquitto'],
  ['postgres', 'postgresql'],
  ['python', 'python3'],
  ['rabbitmq', 'rabbitmq-server'],
  ['redis', 'redis-server'],
  ['registry', 'docker-registry'],
  ['vault', 'vault'],
]);
/** The Debian package is called as the image. */
const SAME_NAME = new Set([
  'caddy',
  'haproxy',
  'memcached',
  'nginx',
  'php',
  'ruby',
  'golang',
  'bind9',
  'squid',
  'varnish',
]);

/** 'quay/library/nginx:1.27@sha256:...' -> 'nginx' */
function baseOf(image: string): string {
  const [last = ''] = (image.split('@')[0] ?? '').split('/').slice(-1);
  return last.split(':')[0] ?? '';
}

/** A container's image is no VM's: the VM starts from `micro`, and what is missing in it is said. */
export function imageOf(entry: Entry, draft: Draft, name: string): void {
  const image = entry.text();
  if (image === undefined) return;
  draft.images.set(name, image);
  const base = baseOf(image);
  if (LIKE_MICRO.has(base)) {
    entry.changed('the VM starts from micro, which has busybox; it has no package manager of its own');
    return;
  }
  const known = PACKAGES.get(base) ?? (SAME_NAME.has(base) ? base : 'NAME');
  const recipe = `./${labelOf(base)}.recipe.yaml`;
  entry.lost(
    `the container image ${image} is no image of a VM: it starts from micro, without what is in it, nor its command`,
    `Write a recipe, ${recipe} (\`from: micro\`, \`packages: [${known}]\`; docs/images.md), and \`image: ${recipe}\`.`,
  );
}
