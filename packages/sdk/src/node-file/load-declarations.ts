import { SkerryError, VmFile, vmDeclarationOf, vmFileJsonSchema, type VmDeclaration } from '@skerry/api';
import { FILE_NAMES, loadNode, type LoadedNodeFile } from './load-node-file.ts';
import { addIssues, type Issue } from './schema-problems.ts';
import { YamlSource } from './source.ts';

/** Files of VMs and nodes, several in one file if need be. */

export type Declaration =
  | { readonly kind: 'VM'; readonly name: string; readonly vm: VmDeclaration }
  | { readonly kind: 'Node'; readonly name: string; readonly node: LoadedNodeFile };

/**
 * Reads all documents of a file, and the files that they name, with the rights of whoever calls. Nothing is answered
 * unless all of them are right.
 * @param path `-` is standard input
 * @throws SkerryError `not-found`; `invalid` with FILE:LINE:COL of the first problem, and all in `details.problems`
 */
export async function loadDeclarations(path: string): Promise<Declaration[]> {
  const declarations: Declaration[] = [];
  for (const source of await YamlSource.readAll(path)) {
    const kind = kindOf(source);
    if (kind === 'VM') {
      const vm = await loadVm(source);
      declarations.push({ kind, name: vm.name, vm });
    } else {
      const node = await loadNode(source);
      declarations.push({ kind, name: node.name, node });
    }
    const [last, ...others] = declarations.toReversed();
    if (last === undefined || !others.some((other) => other.kind === last.kind && other.name === last.name)) continue;
    source.add(['name'], `the ${last.kind} ${last.name} is declared twice in this file`, 'Keep one of them.');
    source.throwIfWrong();
  }
  if (declarations.length > 0) return declarations;
  throw new SkerryError('invalid', `${path === '-' ? 'Standard input' : path} declares nothing`, {
    remedy: 'Write a VM (`kind: VM`) or a node (`kind: Node`); `skerry show VM` shows what one looks like.',
  });
}

/** A node file may leave its kind out, as it always could. */
function kindOf(source: YamlSource): Declaration['kind'] {
  const value = source.value as Readonly<Record<string, unknown>>;
  const kind = typeof value === 'object' ? value['kind'] : undefined;
  if (kind === 'VM' || kind === 'Node') return kind;
  if (kind === undefined && typeof value === 'object' && 'vms' in value) return 'Node';
  const what = typeof kind === 'string' ? `there is no kind '${kind}'` : 'it has no kind that is known';
  source.add(['kind'], what, 'Write kind: VM or kind: Node.');
  source.throwIfWrong();
  return 'VM';
}

async function loadVm(source: YamlSource): Promise<VmDeclaration> {
  const parsed = VmFile.safeParse(source.value);
  if (!parsed.success) {
    addIssues(source, parsed.error.issues as readonly Issue[], vmFileJsonSchema() as Record<string, unknown>);
    source.throwIfWrong();
    throw parsed.error;
  }
  const sources = new Map<string, string>();
  for (const [index, entry] of (parsed.data.files ?? []).entries()) {
    if (entry.source === undefined || sources.has(entry.source)) continue;
    const content = await source.readBeside(entry.source, ['files', index, 'source']);
    if (content !== undefined) sources.set(entry.source, content);
  }
  source.throwIfWrong();
  try {
    return vmDeclarationOf(parsed.data, { sources, absolute: (path) => source.besides(path) });
  } catch (error) {
    if (!(error instanceof Error && 'issues' in error)) throw error;
    addIssues(source, error.issues as readonly Issue[], {}, { ...FILE_NAMES, protected: 'protect' });
    source.throwIfWrong();
    throw error;
  }
}
