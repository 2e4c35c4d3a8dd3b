/** What VMs are called to ssh: `web-vm`, `web.shop` for shop/web (scp takes a name with a slash for a path), or either with `.skerry`. */

const SUFFIX = '.skerry';

/** 'shop/web' -> 'web.shop', as VMs of the node call each other. */
export function hostOf(vmName: string): string {
  return vmName.split('/').toReversed().join('.');
}

/** 'web.shop.skerry' -> 'shop/web' */
export function vmOf(host: string): string {
  const name = host.endsWith(SUFFIX) ? host.slice(0, -SUFFIX.length) : host;
  return name.split('.').toReversed().join('/');
}
