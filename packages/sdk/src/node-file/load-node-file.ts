import {
  checkNodeSpec,
  isRecipePath,
  NodeFile,
  nodeFileJsonSchema,
  NodeSpec,
  nodeSpecOf,
  type ImageRecipe,
  type NodeSpecInput,
} from '@skerry/api';
import { SkerryError } from '@skerry/api';
import { loadRecipe } from './load-recipe.ts';
import { addIssues, type Issue } from './schema-problems.ts';
import { type OnRead, type Path, YamlSource } from './source.ts';

export interface LoadedNodeFile {
  readonly name: string;
  readonly title?: string;
  readonly labels?: Record<string, string>;
  readonly spec: NodeSpecInput;
}

export interface LoadOptions {
  /** Told the absolute path of each file that the declaration comes from. */
  readonly onRead?: OnRead | undefined;
}

/** What the normal form calls otherwise than the file. */
export const FILE_NAMES = {
  memoryMib: 'memory',
  cpus: 'cpu',
  diskMib: 'disk',
  nics: 'networks',
  forwards: 'forward',
} as const;

/**
 * Reads a node file, and the files and recipes it names, with the rights of whoever calls.
 * @throws SkerryError `not-found`; `invalid` with FILE:LINE:COL of the first problem, and all in `details.problems`
 */
export async function loadNodeFile(path: string, { onRead }: LoadOptions = {}): Promise<LoadedNodeFile> {
  return loadNode(await YamlSource.read(path, onRead));
}

/** The same, of a document that was read already. */
export async function loadNode(source: YamlSource): Promise<LoadedNodeFile> {
  const parsed = NodeFile.safeParse(source.value);
  if (!parsed.success) {
    addIssues(source, parsed.error.issues as readonly Issue[], nodeFileJsonSchema() as Record<string, unknown>);
    source.throwIfWrong();
    throw parsed.error;
  }
  const file = parsed.data;
  const [sources, recipes] = await Promise.all([readSources(source, file), readRecipes(source, file)]);
  source.throwIfWrong();
  const input = nodeSpecOf(file, { sources, recipes, absolute: (path) => source.besides(path) });
  const spec = NodeSpec.safeParse(input);
  if (!spec.success) {
    addIssues(source, spec.error.issues as readonly Issue[], {}, FILE_NAMES);
  } else {
    for (const problem of checkNodeSpec(spec.data)) source.add(problem.path, problem.message, problem.remedy);
  }
  source.throwIfWrong();
  return {
    name: file.name,
    ...(file.title === undefined ? {} : { title: file.title }),
    ...(file.labels === undefined ? {} : { labels: file.labels }),
    spec: input,
  };
}

async function readSources(source: YamlSource, file: NodeFile): Promise<Map<string, string>> {
  const sources = new Map<string, string>();
  for (const [name, vm] of Object.entries(file.vms)) {
    for (const [index, entry] of (vm.files ?? []).entries()) {
      if (entry.source === undefined || sources.has(entry.source)) continue;
      const content = await source.readBeside(entry.source, ['vms', name, 'files', index, 'source']);
      if (content !== undefined) sources.set(entry.source, content);
    }
  }
  return sources;
}

async function readRecipes(source: YamlSource, file: NodeFile): Promise<Map<string, ImageRecipe>> {
  const named: Array<{ image: string | undefined; path: Path }> = [
    { image: file.defaults?.image, path: ['defaults', 'image'] },
    ...Object.entries(file.vms).map(([name, { image }]) => ({ image, path: ['vms', name, 'image'] })),
  ];
  const recipes = new Map<string, ImageRecipe>();
  for (const { image, path } of named) {
    if (image === undefined || !isRecipePath(image) || recipes.has(image)) continue;
    try {
      recipes.set(image, await loadRecipe(source.besides(image), source.onRead));
    } catch (error) {
      const known = SkerryError.from(error);
      // A recipe that is wrong in itself is told with its own file and line.
      if (known.code === 'invalid') throw known;
      source.add(path, known.message, known.remedy ?? 'Check the path.');
    }
  }
  return recipes;
}
