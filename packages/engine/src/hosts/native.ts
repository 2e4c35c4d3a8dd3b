import { fileURLToPath } from 'node:url';

/** Where `native/build.sh` puts what it builds. */
export function nativePath(name: 'vmjail' | 'agent'): string {
  return fileURLToPath(new URL(`../../../../native/build/${name}`, import.meta.url));
}
