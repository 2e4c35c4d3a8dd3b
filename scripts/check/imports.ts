import { posix } from 'node:path';
import { lineAt, type Finding, type Source } from './finding.ts';

/**
 * The direction of imports, as ARCHITECTURE.md draws it. oxlint's `no-restricted-imports` compares specifiers as text and
 * can't tell which folder a relative one ends in; this resolves them.
 */

/** Package -> packages of ours that it may import. Tests, bench and scripts may import all. */
const LAYERS: Readonly<Record<string, readonly string[]>> = {
  api: [],
  qmp: ['api'],
  switch: ['api'],
  engine: ['api', 'qmp', 'switch'],
  daemon: ['api', 'qmp', 'switch', 'engine'],
  sdk: ['api'],
  cli: ['api', 'sdk'],
  client: ['sdk'],
  web: ['api', 'sdk'],
  testkit: ['api', 'qmp', 'switch', 'engine', 'daemon', 'sdk', 'cli'],
};

/** The places of the product that start processes (tests, bench and scripts may too). */
const SPAWNING = new Set([
  'packages/engine/src/hosts/run.ts',
  // The SDK and the CLI start the daemon, and must not load the engine for it.
  'packages/sdk/src/daemon-process/start.ts',
  'packages/sdk/src/daemon-process/unit.ts',
  // Only the user's own process can give an editor the user's terminal.
  'packages/cli/src/commands/edit/editor.ts',
  // `skerry ssh` hands our terminal to the ssh client.
  'packages/cli/src/commands/ssh/client.ts',
  'packages/sdk/src/daemon-process/offline.ts',
  'packages/switch/src/bench.ts',
  // The client from npm has no daemon beside it, and calls `skerry`.
  'packages/sdk/src/daemon-process/command.ts',
]);

/** Modules of Node that compute without touching the machine: what pure files may use. */
const PURE_NODE = new Set(['node:assert', 'node:buffer', 'node:crypto', 'node:path', 'node:util']);

/** Parts of other packages that compute only. */
const PURE_PARTS = ['@skerry/switch/address'];

/** The one place that chooses the seed of property tests. */
const PROPERTIES = 'packages/testkit/src/properties.ts';

export interface Import {
  readonly specifier: string;
  readonly typeOnly: boolean;
  readonly line: number;
}

const PATTERNS = [
  // import ... from 'x', export ... from 'x': no quote or semicolon between keyword and `from`
  /^[ \t]*(?:import|export)\b(?<type>\s+type\b(?!\s+from))?[^;'"`]*?\bfrom\s*['"](?<specifier>[^'"\n]+)['"]/gm,
  /^[ \t]*import\s*['"](?<specifier>[^'"\n]+)['"]/gm,
  /\b(?:import|require|import\.meta\.resolve|getBuiltinModule)\(\s*['"](?<specifier>[^'"\n]+)['"]/g,
];

/** What a module imports, by its text. */
export function importsOf(text: string): Import[] {
  return PATTERNS.flatMap((pattern) =>
    [...text.matchAll(pattern)].map((match) => ({
      specifier: match.groups?.['specifier'] ?? '',
      typeOnly: match.groups?.['type'] !== undefined,
      line: lineAt(text, match.index + match[0].length - 1),
    })),
  );
}

/** Checks every import of every TypeScript file. */
export function checkImports(sources: readonly Source[]): Finding[] {
  const modules = sources.filter((source) => /\.(?:ts|tsx|mts|mjs)$/.test(source.path));
  const byPath = new Map(modules.map((source) => [source.path, importsOf(source.text)]));
  const dependencies = declaredDependencies(sources);
  const findings: Finding[] = [];
  for (const [path, imports] of byPath) {
    for (const each of imports) {
      const messages = [
        layer(path, each.specifier),
        concern(path, each.specifier),
        spawning(path, each),
        undeclared(path, each.specifier, dependencies),
        unseeded(path, each.specifier),
      ];
      for (const message of messages) {
        if (message !== undefined) findings.push({ file: path, line: each.line, message });
      }
    }
    if (isPure(path)) findings.push(...impurities(path, byPath));
  }
  return findings;
}

interface Place {
  readonly package: string;
  /** Below the package's src: a folder per concern. `undefined`: not below src, or directly in it. */
  readonly concern: string | undefined;
  readonly isTest: boolean;
}

function placeOf(path: string): Place | undefined {
  const [root, name, area, ...rest] = path.split('/');
  if (root !== 'packages' || name === undefined) return undefined;
  return { package: name, concern: area === 'src' && rest.length > 1 ? rest[0] : undefined, isTest: area !== 'src' };
}

const isRelative = (specifier: string): boolean => specifier.startsWith('.');
const resolve = (path: string, specifier: string): string => posix.join(posix.dirname(path), specifier);

function layer(path: string, specifier: string): string | undefined {
  const from = placeOf(path);
  const ours = /^@skerry\/([^/]+)/.exec(specifier)?.[1];
  if (isRelative(specifier)) {
    const to = placeOf(resolve(path, specifier));
    if (to === undefined || to.package === from?.package) return undefined;
    if (from === undefined) return undefined; // tests/ and scripts/ start programs by their file
    return `imports ${to.package} by its path: import @skerry/${to.package}`;
  }
  if (ours === undefined) return undefined;
  const isTest = from === undefined ? /^(?:tests|bench|scripts)\//.test(path) : from.isTest;
  if (isTest) return undefined;
  if (ours === 'testkit') return 'imports testkit, which only tests may';
  if (from === undefined || from.package === ours) return undefined;
  const allowed = LAYERS[from.package] ?? [];
  return allowed.includes(ours)
    ? undefined
    : `${from.package} may not import ${ours} (only: ${allowed.join(', ') || 'none of ours'})`;
}

function concern(path: string, specifier: string): string | undefined {
  const from = placeOf(path);
  if (from?.package !== 'engine' || from.isTest || !isRelative(specifier)) return undefined;
  const target = resolve(path, specifier);
  const to = placeOf(target);
  if (to?.concern === undefined || to.concern === from.concern) return undefined;
  const face = `packages/engine/src/${to.concern}/index.ts`;
  return target === face ? undefined : `reaches into ${to.concern}/: import its index.ts`;
}

function spawning(path: string, { specifier, typeOnly }: Import): string | undefined {
  if (!/^(?:node:)?child_process$/.test(specifier) || typeOnly || SPAWNING.has(path)) return undefined;
  const from = placeOf(path);
  if (from === undefined || from.isTest || from.package === 'testkit') return undefined;
  return 'starts processes: use run() or start() of engine/src/hosts';
}

/** Package folder -> names that its package.json declares (the root's development tools are for all). */
function declaredDependencies(sources: readonly Source[]): Map<string, Set<string>> {
  const declared = new Map<string, Set<string>>();
  for (const { path, text } of sources) {
    const name = /^packages\/([^/]+)\/package\.json$/.exec(path)?.[1];
    if (name === undefined) continue;
    const manifest = JSON.parse(text) as Record<string, Record<string, string> | undefined>;
    const { dependencies, peerDependencies, devDependencies = {} } = manifest;
    // What is packed inside of a package is a development dependency of it: nobody else installs it.
    const inside = Object.keys(devDependencies).filter((each) => each.startsWith('@skerry/'));
    declared.set(name, new Set([...Object.keys({ ...dependencies, ...peerDependencies }), ...inside]));
  }
  return declared;
}

function undeclared(path: string, specifier: string, declared: Map<string, Set<string>>): string | undefined {
  const from = placeOf(path);
  // testkit is never published: it may use the root's development tools.
  if (from === undefined || from.isTest || from.package === 'testkit') return undefined;
  if (isRelative(specifier) || specifier.startsWith('node:')) return undefined;
  const name = /^(?:@[^/]+\/)?[^/]+/.exec(specifier)?.[0] ?? specifier;
  if (name === `@skerry/${from.package}` || declared.get(from.package)?.has(name) === true) return undefined;
  return `${name} is not a dependency in packages/${from.package}/package.json`;
}

/** Cases by chance are the same ones each time, unless somebody asks for others. */
function unseeded(path: string, specifier: string): string | undefined {
  if (specifier !== 'fast-check' || path === PROPERTIES) return undefined;
  return 'has cases of its own each time: import @skerry/testkit/properties';
}

/** `plan.ts`, `model.ts` and `*-plan.ts`, `*-model.ts` in a package's source compute from data only. */
function isPure(path: string): boolean {
  return /^packages\/(?!testkit)[^/]+\/src\/(?:.*\/)?(?:[\w-]+-)?(?:plan|model)\.ts$/.test(path) || isApi(path);
}

const isApi = (path: string): boolean => path.startsWith('packages/api/src/');

/** Follows what a pure file imports as values, through our own files, and names each way to the outside. */
function impurities(start: string, modules: ReadonlyMap<string, readonly Import[]>): Finding[] {
  const findings: Finding[] = [];
  const seen = new Set([start]);
  const queue = [start];
  for (let path = queue.pop(); path !== undefined; path = queue.pop()) {
    for (const { specifier, typeOnly, line } of modules.get(path) ?? []) {
      if (typeOnly) continue;
      if (isRelative(specifier)) {
        const target = resolve(path, specifier);
        if (!seen.has(target)) queue.push(target);
        seen.add(target);
        continue;
      }
      const allowed = isApi(path) ? ['zod'] : ['@skerry/api', ...PURE_PARTS, ...PURE_NODE];
      if (allowed.includes(specifier)) continue;
      const by = path === start ? '' : ` by way of ${path}`;
      findings.push({
        file: start,
        line: path === start ? line : 1,
        message: `is pure, but imports ${specifier}${by}`,
      });
    }
  }
  return findings;
}
