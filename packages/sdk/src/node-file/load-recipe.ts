import { relative } from 'node:path';
import { type ImageRecipe, normaliseRecipe, RecipeFile } from '@skerry/api';
import { addIssues, type Issue } from './schema-problems.ts';
import { type OnRead, YamlSource } from './source.ts';

/** What the normal form calls otherwise than the file. */
const FILE_NAMES = { sizeMib: 'size', minMemoryMib: 'memoryMin', contentBase64: 'content' } as const;

/**
 * Reads a recipe and the files it names, with the rights of whoever calls.
 * @throws SkerryError `not-found`; `invalid` with FILE:LINE:COL, and all problems in `details.problems`
 */
export async function loadRecipe(path: string, onRead?: OnRead): Promise<ImageRecipe> {
  const source = await YamlSource.read(path.startsWith('/') ? shorter(path) : path, onRead);
  const parsed = RecipeFile.safeParse(source.value);
  if (!parsed.success) {
    const keys = Object.fromEntries(Object.keys(RecipeFile.shape).map((key) => [key, {}]));
    addIssues(source, parsed.error.issues as readonly Issue[], { properties: keys });
    source.throwIfWrong();
    throw parsed.error;
  }
  const contents = new Map<string, string>();
  for (const [index, entry] of (parsed.data.files ?? []).entries()) {
    if (entry.source === undefined) continue;
    const content = await source.readBeside(entry.source, ['files', index, 'source']);
    if (content !== undefined) contents.set(entry.source, content);
  }
  source.throwIfWrong();
  try {
    return await normaliseRecipe(parsed.data, (name) => Promise.resolve(contents.get(name) ?? ''));
  } catch (error) {
    if (!(error instanceof Error && 'issues' in error)) throw error;
    addIssues(source, error.issues as readonly Issue[], {}, FILE_NAMES);
    source.throwIfWrong();
    throw error;
  }
}

/** A path below the working directory is told as one would type it. */
function shorter(path: string): string {
  const below = relative(process.cwd(), path);
  return below.startsWith('..') ? path : below;
}
