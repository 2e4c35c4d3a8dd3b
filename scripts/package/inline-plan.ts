import { posix } from 'node:path';

/** Several packages made one: what they import of each other by name becomes a path inside of it. */

export interface Manifest {
  readonly name: string;
  readonly exports: Readonly<Record<string, { readonly default: string }>>;
}

/** '@skerry/api/base' -> 'api/base.js': where each entrance of packages, which lie in folders by `folders`, ends up. */
export function entrancesOf(folders: ReadonlyMap<string, Manifest>): Map<string, string> {
  const entrances = new Map<string, string>();
  for (const [folder, { name, exports }] of folders) {
    for (const [entrance, { default: path }] of Object.entries(exports)) {
      entrances.set(posix.join(name, entrance), posix.join(folder, path.replace(/^\.\/dist\//, '')));
    }
  }
  return entrances;
}

/** As tsc writes them: `from 'x'`, `import 'x'`, `import('x')`. */
const IMPORT = /(\bfrom\s+|\bimport\s*\(\s*|\bimport\s+)(['"])(@skerry\/[^'"]+|\.{1,2}\/[^'"]+\.ts)\2/g;

/**
 * The text of `file` (a path beside the folders) with its imports of our packages as relative paths. Those of declarations
 * get the extension `.js` too: tsc leaves `.ts` there, which not every compiler that reads them takes for `.d.ts`.
 * @throws Error on one that no package exports
 */
export function inline(file: string, text: string, entrances: ReadonlyMap<string, string>): string {
  return text.replace(IMPORT, (_, before: string, quote: string, specifier: string) => {
    if (specifier.startsWith('.')) return `${before}${quote}${specifier.replace(/\.ts$/, '.js')}${quote}`;
    const target = entrances.get(specifier);
    if (target === undefined) throw new Error(`${file}: ${specifier} is not exported by what is packed with it`);
    const relative = posix.relative(posix.dirname(file), target);
    return `${before}${quote}${relative.startsWith('.') ? relative : `./${relative}`}${quote}`;
  });
}
